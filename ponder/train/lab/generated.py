"""What the families that the lab makes up share: difficulties in turn, ids, and which questions are kept for tests."""

from __future__ import annotations

import hashlib
import random
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from itertools import count, islice
from typing import ClassVar, NamedTuple

from ponder.core.config import to_config
from ponder.core.errors import DataError, require
from ponder.core.judge import Item, Reference
from ponder.tasks.shipped import FORMATS, item
from ponder.train.lab.puzzle import Puzzle, Step
from ponder.verify.base import Base

_ATTEMPTS = 5000
"""Draws for one question; with one in eight kept for tests, a difficulty that runs dry has no such question."""

Turn = tuple[int, ...]
"""What a family counts, difficulty first: one value for each of the turns that its questions take."""


class Draft(NamedTuple):
    """A question as a family draws it, without its format line; the other fields are those of `Puzzle`."""

    question: str
    given: str
    steps: tuple[Step, ...]
    answer: str
    skipped: tuple[str, ...] = ()


class Generated(ABC):
    """A frozen dataclass whose options say how hard its questions are, with `seed` as its last field.

    Seed 0 asks the questions that are kept for tests, every other seed asks those that are not.
    """

    __slots__ = ()
    kind: ClassVar[str]
    verifier: ClassVar[Base]
    seed: int

    @property
    def name(self) -> str:
        """The name with the options that differ from the defaults; the seed is none of them."""
        config = to_config(self, lambda _: self.kind)
        options = ",".join(f"{key}={value}" for key, value in config.items() if key not in ("method", "seed"))
        return f"{self.kind}:{options}" if options else self.kind

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions of the puzzles; without a limit there is no end of them."""
        return (puzzle.item for puzzle in self.puzzles(limit))

    def puzzles(self, limit: int | None = None) -> Iterator[Puzzle]:
        """Yield puzzles, the difficulties in turn. Raises `DataError` for a difficulty without a question."""
        turns, name = self._turns(), self.name
        for index in islice(count(), limit):
            yield self._puzzle(name, index, turns[index % len(turns)])

    @abstractmethod
    def _turns(self) -> Sequence[Turn]:
        """Return the difficulties that take turns."""

    @abstractmethod
    def _draft(self, draw: random.Random, turn: Turn) -> Draft:
        """Draw one question."""

    def _puzzle(self, name: str, index: int, turn: Turn) -> Puzzle:
        draw = random.Random(f"{name}/{self.seed}/{index}")
        for _ in range(_ATTEMPTS):
            draft = self._draft(draw, turn)
            # Nobody could tell where an answer is first derived if the line that derives it stood there twice.
            derived_once = draft.steps[-1].text not in [step.text for step in draft.steps[:-1]]
            if derived_once and kept_for_tests(draft.question) == (self.seed == 0):
                return self._finished(name, index, turn, draft)
        use = "tests" if self.seed == 0 else "training"
        raise DataError(f"{name} has no question of difficulty {turn[0]} for {use}; ask for harder ones as well")

    def _finished(self, name: str, index: int, turn: Turn, draft: Draft) -> Puzzle:
        asked = item(
            f"{re.sub('[:,]', '-', name)}-s{self.seed}-{index}",
            draft.question,
            FORMATS["exact"]["en"],
            Reference(draft.answer),
            self.verifier,
            {"difficulty": str(turn[0])},
        )
        return Puzzle(asked, draft.given, draft.steps, draft.answer, turn[0], skipped=draft.skipped)


def kept_for_tests(question: str) -> bool:
    """Say whether a made-up question, without its format line, is one that tests ask: one in eight, by its hash."""
    return hashlib.sha256(question.encode()).digest()[0] < 32


def span(owner: object, field: str, text: str, low: int, high: int) -> range:
    """Return the whole numbers that an option such as `3` or `1-5` names. Raises `OptionError` outside low to high."""
    match = re.fullmatch(r"(\d{1,4})(?:-(\d{1,4}))?", text)
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, -1)
    example = f"a number from {low} to {high} or a range such as {low}-{low + 2}"
    require(low <= first <= last <= high, owner, field, text, example)
    return range(first, last + 1)
