"""TALE-EP: the model estimates how many tokens a question needs, and is then told to use fewer (2412.18547)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Method, Solution, merge_needs
from ponder.core.problem import Message, Problem, Prompt
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.steer.tell import told, unthinking
from ponder.text.budgets import estimated
from ponder.text.prompts import ESTIMATE, REASON, REASON_WITHIN


@dataclass(frozen=True)
class TokenBudget:
    """Two calls: the estimate, billed as `route`, and the answer; `evidence["unread"]` counts unreadable estimates."""

    fallback: int | None = field(default=None, metadata={"within": "max_tokens"})
    """The budget where the estimate cannot be read; by default none, which leaves plain step-by-step reasoning."""
    most: int = 32
    """The most tokens of the estimate's own reply."""
    inner: Method = field(default_factory=lambda: Sample(cot=False))
    """Answers the question once the budget is added."""

    def __post_init__(self) -> None:
        require(self.fallback is None or self.fallback >= 1, self, "fallback", self.fallback, "at least 1")
        require(self.most >= 1, self, "most", self.most, "at least 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs, and an engine to estimate with."""
        return merge_needs({"main": frozenset()}, self.inner.needs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Estimate, then hand the inner method a question that states the budget."""
        asked = problem.question
        estimate = await self._estimate(problem, run) if asked.strip() else None
        wanted = self.fallback if estimate is None else estimate
        # Nobody can use more than the reply may have.
        budget = None if wanted is None else min(wanted, max(1, run.sampling.max_tokens))
        run.note(f"budget: {'none' if budget is None else budget}")
        line = REASON.to(asked) if budget is None else REASON_WITHIN.to(asked, budget)
        solution = await self.inner.solve(told(problem, line), run)
        found: dict[str, float | str] = {"unread": int(estimate is None)}
        found |= {} if budget is None else {"told": budget}
        found |= {} if estimate is None else {"estimate": estimate}
        return replace(solution, evidence={**solution.evidence, **found})

    async def _estimate(self, problem: Problem, run: Run) -> int | None:
        """Ask for the number alone: a model that thinks is kept from it where the engine can."""
        asked = problem.question
        system = tuple(message for message in problem.messages if message.role in ("system", "developer"))
        prompt = Prompt((*system, Message.of("user", ESTIMATE.to(asked).replace("{question}", asked))))
        call = await run.generate(unthinking(prompt, run.engine), "route", max_tokens=self.most, stop=())
        return estimated(call.answer)
