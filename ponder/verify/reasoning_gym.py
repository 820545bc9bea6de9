"""Answers to the puzzles of Reasoning Gym, judged by the scorers that come with them (arXiv 2505.24760)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, cast

from ponder.core.errors import OptionError, nearest
from ponder.core.judge import Reference, Verdict
from ponder.text.answers import stated, visible
from ponder.text.numbers import canonical
from ponder.verify.base import Base

Entry = Mapping[str, object]
_TAGGED = re.compile(r"<answer>(.*?)(?:</answer>|$)", re.DOTALL | re.IGNORECASE)
_RIGHT = 0.99


@dataclass(frozen=True, slots=True)
class ReasoningGym(Base):
    """Judges by the scorer of `dataset`, which finds the whole puzzle in the reference's data (see `encode`).

    `Verdict.score` is the scorer's partial credit; only full credit is correct.
    """

    dataset: str
    cheap: ClassVar[bool] = False

    def extract(self, answer: str) -> str | None:
        """Return what stands between the last `<answer>` tags, else what any other reply states."""
        text = visible(answer)
        *_, tagged = ["", *(match[1].strip() for match in _TAGGED.finditer(text))]
        return tagged or next(stated(text), None)

    def same(self, a: str, b: str) -> bool:
        """Say whether two answers are the same text or the same number; the scorer itself compares with a puzzle."""
        left, right = a.split(), b.split()
        number = canonical(a)
        return left == right or (number is not None and number == canonical(b))

    def check(self, reference: Reference) -> str | None:
        """A reference must hold a puzzle."""
        try:
            entry = decode(reference.data)
        except ValueError as error:
            return f"has no puzzle in its data ({error})"
        return None if isinstance(entry, dict) and "answer" in entry else "has no puzzle in its data"

    def prepare(self) -> None:
        """Load the puzzles, which takes seconds."""
        _scorer(self.dataset)

    def __call__(self, answer: str, reference: Reference) -> Verdict:
        """Judge a whole reply by the puzzle's own scorer."""
        extracted = self.extract(answer)
        if extracted is None:
            return Verdict(False, score=0.0)
        score = float(_scorer(self.dataset)(extracted, cast(Entry, decode(reference.data))))
        return Verdict(score >= _RIGHT, extracted, score)


def known_datasets() -> Mapping[str, tuple[type, type]]:
    """Return the class and the configuration class of each set of puzzles. Raises `OptionError` without the package."""
    try:
        import reasoning_gym
        from reasoning_gym.factory import DATASETS
    except ModuleNotFoundError as error:
        if error.name != "reasoning_gym":
            raise
        raise OptionError("reasoning-gym is not installed; run: pip install 'ponder[tasks]'") from None
    del reasoning_gym  # importing it is what fills the table
    return cast(Mapping[str, tuple[type, type]], DATASETS)


@lru_cache(maxsize=256)
def _scorer(dataset: str) -> Callable[[str, Entry], float]:
    known = known_datasets()
    if dataset not in known:
        raise OptionError(f"reasoning-gym has no set {dataset!r}{nearest(dataset, known)}")
    from reasoning_gym import get_score_answer_fn

    return cast(Callable[[str, Entry], float], get_score_answer_fn(dataset))


def encode(value: object) -> str:
    """Return a puzzle as JSON text that `decode` brings back whole: tuples and keys that are no strings included."""
    return json.dumps(_plain(value), ensure_ascii=False)


def decode(text: str) -> object:
    """Return what `encode` wrote. Raises `ValueError` if `text` is no JSON."""
    return json.loads(text, object_hook=_rich)


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return {"__tuple__": [_plain(item) for item in value]}
    if isinstance(value, list):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        if all(isinstance(key, str) for key in value):
            return {key: _plain(item) for key, item in value.items()}
        return {"__pairs__": [[_plain(key), _plain(item)] for key, item in value.items()]}
    return value


def _rich(table: dict[str, object]) -> object:
    if set(table) == {"__tuple__"}:
        return tuple(cast(list[object], table["__tuple__"]))
    if set(table) == {"__pairs__"}:
        return dict(cast(list[tuple[object, object]], table["__pairs__"]))
    return table
