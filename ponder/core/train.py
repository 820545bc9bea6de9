"""What training needs: attempts, rewards that see a whole group at once, and builders of training data."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ponder.core.judge import Reference
from ponder.core.problem import Message, Problem
from ponder.core.run import Run


@dataclass(frozen=True, slots=True)
class Attempt:
    """One sampled reply. `tokens` are the tokens that were sampled, never characters."""

    text: str
    tokens: int
    correct: bool | None
    truncated: bool = False
    budget: int | None = None
    """The length that was asked for, in tokens, where one was."""
    step_scores: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Row:
    """A problem with its reference and the attempts at it."""

    problem: Problem
    reference: Reference
    rationale: str | None = None
    attempts: tuple[Attempt, ...] = ()


@dataclass(frozen=True, slots=True)
class Value:
    """A reward. `total` is None for an attempt that the paper leaves out; `parts` are logged apart from correctness."""

    total: float | None
    parts: Mapping[str, float] = field(default_factory=dict, hash=False)
    per_token: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class State:
    """What a reward carries from step to step, such as best lengths so far or a target that moves."""

    step: int = 0
    values: Mapping[str, float] = field(default_factory=dict, hash=False)


class Reward(Protocol):
    """A reward with a length term."""

    def __call__(self, problem: Problem, group: Sequence[Attempt], state: State) -> list[Value]:
        """Return one value for each attempt of one problem, the whole group at once."""
        ...


@dataclass(frozen=True, slots=True)
class Example:
    """One training example: a conversation and the reply to learn."""

    messages: tuple[Message, ...]
    completion: str
    weight: float = 1.0
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)


class DataBuilder(Protocol):
    """Turns rows into training examples; calls models through `run` where it needs any."""

    def build(self, rows: AsyncIterable[Row], run: Run | None) -> AsyncIterator[Example]:
        """Yield examples as they are ready."""
        ...
