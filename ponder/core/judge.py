"""How good, how hard, how right: scorers, routers, verifiers, and the tasks that hold references."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.problem import Problem

if TYPE_CHECKING:
    from ponder.core.run import Call, Run


@dataclass(frozen=True, slots=True)
class Score:
    """How good a reply is: any real number, higher is better; `steps` scores its steps one by one."""

    value: float
    steps: tuple[float, ...] = ()


class Scorer(Protocol):
    """Says how good replies are, without knowing the reference. Implementations are frozen dataclasses."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What each named engine must be able to do, for the replies and for calls of its own."""
        ...

    def asks(self) -> SamplingArgs:
        """What the replies must be sampled with, so that they can be scored: `logprobs`, `certainty` or nothing."""
        ...

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return one score for each call; model calls of its own are billed with role `verify`."""
        ...


class Router(Protocol):
    """Says how hard a problem is, before it is solved. Implementations are frozen dataclasses."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What each named engine must be able to do, for calls of its own; nothing where it asks no model."""
        ...

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Return the expected success of each choice, in 0 to 1; model calls of its own are billed with role `route`.

        Where only comparisons are known, it is the chance to win against another choice, ties counted half. Either way
        `(1 + b - a) / 2` is the chance that choice b does better than a, ties counted half.
        """
        ...


@dataclass(frozen=True, slots=True)
class Reference:
    """What the right answer is: as text, and as JSON text for scorers that need more than a string."""

    text: str
    data: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether an answer is right. `correct` is None where this cannot be told; `extracted` is what was compared."""

    correct: bool | None
    extracted: str | None = None
    score: float | None = None
    """Partial credit in 0 to 1, from verifiers that give any."""


class Verifier(Protocol):
    """Compares answers with references. A verifier is cheap to build and can be sent to another process."""

    def extract(self, answer: str) -> str | None:
        """Return the final answer that a reply states, or None if it states none."""
        ...

    def same(self, a: str, b: str) -> bool:
        """Say whether two extracted answers are equal; for votes, so it must be quick."""
        ...

    def __call__(self, answer: str, reference: Reference) -> Verdict:
        """Judge a whole reply."""
        ...


@dataclass(frozen=True, slots=True)
class Item:
    """One question of a task, with the reference that no method sees."""

    problem: Problem
    reference: Reference | None
    """None where the task knows no answer: such a question is counted apart, never as wrong."""
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


class Task(Protocol):
    """A benchmark: questions in a fixed order, and the verifier that judges them."""

    @property
    def name(self) -> str:
        """The name that the command line uses, options included."""
        ...

    @property
    def verifier(self) -> Verifier:
        """Judges replies to this task."""
        ...

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions, the same ones in the same order each time. Raises `DataError` on broken data."""
        ...
