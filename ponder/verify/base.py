"""What all verifiers share: where they may run, and how they say that a reference makes no sense to them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

from ponder.core.judge import Reference, Verdict


class Base(ABC):
    """A verifier of this package: a frozen dataclass that compares extracted answers."""

    __slots__ = ()
    cheap: ClassVar[bool] = True
    """Whether judging takes microseconds, so that it may run on the event loop."""

    @abstractmethod
    def extract(self, answer: str) -> str | None:
        """Return the final answer that a reply states, or None if it states none."""

    @abstractmethod
    def same(self, a: str, b: str) -> bool:
        """Say whether two extracted answers are equal."""

    def check(self, reference: Reference) -> str | None:
        """Return what is wrong with a reference as one phrase, or None if it can be read."""
        return None if self.extract(reference.text) is not None else f"{reference.text!r} holds no answer"

    def gold(self, reference: Reference) -> str | None:
        """Return what an extracted answer is compared with."""
        return self.extract(reference.text)

    def quick(self, answer: str, reference: Reference) -> Verdict | None:
        """Judge without anything heavy, or return None where that cannot be done."""
        return self(answer, reference) if self.cheap else None

    def prepare(self) -> None:
        """Load what judging needs, so that no deadline counts it."""
        return None

    def __call__(self, answer: str, reference: Reference) -> Verdict:
        """Judge a whole reply by its final answer."""
        extracted = self.extract(answer)
        if extracted is None:
            return Verdict(False)
        gold = self.gold(reference)
        return Verdict(gold is not None and self.same(extracted, gold), extracted)
