"""Plain reasoning: ask once and take what comes. Every saving is measured against it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.text.prompts import STEP_BY_STEP


@dataclass(frozen=True)
class Sample:
    """One reply, as long as the model likes."""

    cot: bool | None = None
    """Ask for step-by-step reasoning; by default only where the model does not think by itself."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing beyond plain sampling."""
        return {"main": frozenset()}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply."""
        cot = self.cot if self.cot is not None else not run.engine.think
        instruction = STEP_BY_STEP.to(problem.question) if cot else ""
        async with run.stream(Prompt.of(problem, instruction)) as live:
            async for chunk in live:
                if not chunk.markup:
                    run.show(chunk.text, chunk.channel)
        return Solution.of(live.call)
