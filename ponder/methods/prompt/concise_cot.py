"""Concise chain of thought: one more line, `Be concise.`, or a limit in words (2401.05618, 2407.19825)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ponder.core.engine import Cap
from ponder.core.errors import OptionError, require
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.steer.tell import told
from ponder.text.prompts import BE_CONCISE, LETS_THINK, STEP_BY_STEP, STEPS_AND_LIMIT, WORD_LIMIT, worked


@dataclass(frozen=True)
class ConciseCoT:
    """The prompt of plain reasoning and one line more."""

    words: int | None = None
    """Ask for at most so many words instead of asking for conciseness."""
    inner: Method = field(default_factory=lambda: Sample(cot=False))
    """Answers the question once the line is added."""
    cot: bool | None = None
    """Ask for step-by-step reasoning as well; by default only where the model does not think by itself."""
    wording: Literal["line", "paper", "code"] = "line"
    """Of the word limit: as a line of its own, or with the steps as 2407.19825 or its released code words both."""
    example: Literal["none", "brief", "full"] = "none"
    """A worked example as an earlier turn, as in 2401.05618; `full` is its control: full sentences, and no line."""

    def __post_init__(self) -> None:
        require(self.words is None or self.words >= 1, self, "words", self.words, "at least 1")
        if self.wording != "line" and self.words is None:
            raise OptionError(f"ConciseCoT: wording = {self.wording!r} is of a word limit; set words, as in words=45")
        if self.example == "full" and self.words is not None:
            raise OptionError(f"ConciseCoT: example = 'full' asks for no brevity; leave out words = {self.words}")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Hand the inner method a question that asks for brevity."""
        asked = problem.question
        # The same prompt as plain reasoning but for the line: a model that thinks by itself is not told to think.
        cot = self.cot if self.cot is not None else not run.engine.think
        return await self.inner.solve(told(problem, self._instruction(asked, cot), worked(asked, self.example)), run)

    def _instruction(self, asked: str, cot: bool) -> str:
        if self.wording == "paper":
            return STEPS_AND_LIMIT.to(asked, self.words)
        limit = WORD_LIMIT.to(asked, self.words) if self.words is not None else BE_CONCISE.to(asked)
        if self.wording == "code":
            return f"{LETS_THINK.to(asked)}\n{limit}"
        return "\n".join(([STEP_BY_STEP.to(asked)] if cot else []) + ([] if self.example == "full" else [limit]))
