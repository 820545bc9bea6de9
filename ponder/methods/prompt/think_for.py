"""Think for N tokens: the prompt says how long to think; models can be trained to keep to it (2503.04697)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.steer.tell import told
from ponder.text.prompts import STEP_BY_STEP, THINK_AT_MOST, THINK_FOR


@dataclass(frozen=True)
class ThinkFor:
    """The prompt of plain reasoning and a length: a wish, which nothing enforces."""

    tokens: int = field(default=512, metadata={"within": "max_tokens"})
    """How many tokens to think for."""
    most: bool = False
    """Ask for at most so many, as L1-Max does, instead of about so many."""
    inner: Method = field(default_factory=lambda: Sample(cot=False))
    """Answers the question once the line is added."""
    cot: bool | None = None
    """Ask for step-by-step reasoning as well; by default only where the model does not think by itself."""

    def __post_init__(self) -> None:
        require(self.tokens >= 1, self, "tokens", self.tokens, "at least 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Hand the inner method a question that says how long to think."""
        asked = problem.question
        line = (THINK_AT_MOST if self.most else THINK_FOR).to(asked, self.tokens)
        cot = self.cot if self.cot is not None else not run.engine.think
        solution = await self.inner.solve(told(problem, f"{STEP_BY_STEP.to(asked)}\n{line}" if cot else line), run)
        return replace(solution, evidence={**solution.evidence, "told": self.tokens})
