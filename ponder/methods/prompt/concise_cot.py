"""Concise chain of thought: one more line, `Be concise.`, or a limit in words (2401.05618, 2407.19825)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.text.prompts import BE_CONCISE, STEP_BY_STEP, WORD_LIMIT


@dataclass(frozen=True)
class ConciseCoT:
    """The prompt of plain reasoning and one line more."""

    words: int | None = None
    """Ask for at most so many words instead of asking for conciseness."""
    inner: Method = field(default_factory=lambda: Sample(cot=False))
    """Answers the question once the line is added."""
    cot: bool | None = None
    """Ask for step-by-step reasoning as well; by default only where the model does not think by itself."""

    def __post_init__(self) -> None:
        require(self.words is None or self.words >= 1, self, "words", self.words, "at least 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Hand the inner method a question that asks for brevity."""
        asked = problem.question
        line = BE_CONCISE.to(asked) if self.words is None else WORD_LIMIT.to(asked, self.words)
        # The same prompt as plain reasoning but for the line: a model that thinks by itself is not told to think.
        cot = self.cot if self.cot is not None else not run.engine.think
        instruction = f"{STEP_BY_STEP.to(asked)}\n{line}" if cot else line
        prompt = Prompt.of(problem, instruction)
        return await self.inner.solve(replace(problem, messages=prompt.messages), run)
