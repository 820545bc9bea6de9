"""A question whose shortest sufficient chain of thought is known, and what every family of such questions has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from ponder.core.judge import Item, Task


class Step(NamedTuple):
    """One line of a chain, and the same line with a plausible slip in it, whose result is not right."""

    text: str
    slip: str


@dataclass(frozen=True, slots=True)
class Puzzle:
    """A question as a benchmark asks it, with its minimal chain: each step is needed, and the last derives the answer.

    `given` is what the question gives, in symbols. `answer` is the right answer as the last step derives it.
    """

    item: Item
    given: str
    steps: tuple[Step, ...]
    answer: str
    difficulty: int
    """How hard it is, by what the family itself counts: a level, digits, actions, links."""
    language: str = "en"
    skipped: tuple[str, ...] = ()
    """The lines of a shorter chain that takes two steps at once, where the family knows one."""

    @property
    def minimal(self) -> str:
        """The minimal chain as text."""
        return "\n".join(step.text for step in self.steps)


class Family(Task, Protocol):
    """Questions of one kind, made from a seed, without end; a benchmark too. Seed 0 is for tests alone."""

    @property
    def seed(self) -> int:
        """What the questions are made from."""
        ...

    def puzzles(self, limit: int | None = None) -> Iterator[Puzzle]:
        """Yield puzzles; `items` yields their questions. Puzzle number i depends on (options, seed, i) alone."""
        ...
