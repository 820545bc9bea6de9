"""A formula is right if it equals the reference: by its signs where that is enough, else by algebra (math-verify)."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

from ponder.core.judge import Reference, Verdict
from ponder.text.latex import alike, formula, is_words, latex, readable
from ponder.verify.base import Base


@dataclass(frozen=True, slots=True)
class Math(Base):
    """Compares formulas, numbers, tuples, sets, intervals, matrices and single words.

    Calling it may take long or forever, as algebra can; `VerifierPool` calls it in a process with a deadline.
    """

    cheap: ClassVar[bool] = False

    def extract(self, answer: str) -> str | None:
        """Return the formula that a reply states, as it was written."""
        return formula(answer)

    def same(self, a: str, b: str) -> bool:
        """Say whether two formulas are alike without algebra."""
        return alike(a, b) is True

    def check(self, reference: Reference) -> str | None:
        """A reference must be one formula with matching brackets."""
        return readable(reference.text)

    def quick(self, answer: str, reference: Reference) -> Verdict | None:
        """Judge by signs and plain numbers, or return None where algebra must decide."""
        extracted = self.extract(answer)
        if extracted is None:
            return Verdict(False)
        correct = alike(extracted, reference.text)
        return None if correct is None else Verdict(correct, extracted)

    def prepare(self) -> None:
        """Load math-verify and sympy; its warning that its own timeouts are off is not for our users."""
        logging.getLogger("math_verify").setLevel(logging.ERROR)
        _parse("1")

    def __call__(self, answer: str, reference: Reference) -> Verdict:
        """Judge a whole reply; `correct` is None if the reference is nothing that algebra can read."""
        verdict = self.quick(answer, reference)
        if verdict is not None:
            return verdict
        extracted = self.extract(answer)
        gold = _parse(reference.text)
        if extracted is None or not gold:
            return Verdict(None, extracted)
        from math_verify import verify

        given = _parse(extracted)
        correct = bool(given) and verify(list(gold), list(given), allow_set_relation_comp=True, timeout_seconds=None)
        return Verdict(correct, extracted)


@lru_cache(maxsize=1024)
def _parse(text: str) -> tuple[object, ...]:
    """Return what math-verify reads in a formula, without the timeouts of its own, which need signals."""
    if is_words(text):
        return ()
    from math_verify import parse

    text = latex(text)
    found = parse(f"\\boxed{{{text}}}", fallback_mode="no_fallback", parsing_timeout=None)
    return tuple(found or parse(text, fallback_mode="no_fallback", parsing_timeout=None))
