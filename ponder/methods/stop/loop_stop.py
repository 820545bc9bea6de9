"""Loop stop: a thought that begins to repeat itself is closed where the repetition began, and answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.method import Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.steer.ask import Wish, ask


@dataclass(frozen=True)
class LoopStop:
    """One reply, as long as it says anything new."""

    answers: bool = True
    """End an answer that repeats itself, too: it is complete as it stands, and would go on until its limit."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing for certain: where a thought can neither be closed nor asked away, it is left to its limit."""
        return {"main": frozenset()}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply."""
        return await ask(problem, run, Wish(loops=True, answers=self.answers))
