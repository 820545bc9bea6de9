"""A rule for exact tasks: a reply scores the share of the equations in it that hold when they are recomputed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.errors import require
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.text.equations import equations


@dataclass(frozen=True)
class Rule:
    """The share of a reply's equations that hold, thinking and answer together, in exact arithmetic; in 0 to 1.

    A reply without an equation, or without an answer, scores 0: nothing in it can be checked. The steps are the
    equations, 1 or 0 each. Whether the answer follows from them, and they from the question, is not looked at.
    """

    modulus: int = 0
    """Compare both sides modulo this number; 0 compares them as they are."""

    def __post_init__(self) -> None:
        require(self.modulus == 0 or self.modulus > 1, self, "modulus", self.modulus, "0, or at least 2")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: it looks at text alone."""
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        """Nothing."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return the share of each reply; no call is made."""
        return [self._of(call, run) for call in calls]

    def _of(self, call: Call, run: Run) -> Score:
        found = tuple(map(float, equations(f"{call.thinking}\n{call.answer}", self.modulus)))
        stated = run.extract(call.answer) is not None
        return Score(sum(found) / len(found) if found and stated else 0.0, found)
