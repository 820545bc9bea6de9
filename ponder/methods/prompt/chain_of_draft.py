"""Chain of Draft: think step by step, but write only a few words for each step (2502.18600)."""

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
from ponder.text.lengths import words_a_line
from ponder.text.prompts import DRAFTS_EN, MINIMUM_DRAFT, SEPARATOR, drafts


@dataclass(frozen=True)
class ChainOfDraft:
    """The paper's instruction, and worked drafts where asked for; `evidence["words_a_line"]` says if it was kept to."""

    words: int = 5
    """The most words that a step may have."""
    shots: int = 0
    """How many worked drafts come before the question, as earlier turns of the conversation."""
    separator: bool = False
    """Ask for the answer behind `####`, as the paper does; a task that states its own answer format needs none."""
    inner: Method = field(default_factory=lambda: Sample(cot=False))
    """Answers the question once the instruction is added."""

    def __post_init__(self) -> None:
        require(self.words >= 1, self, "words", self.words, "at least 1")
        require(0 <= self.shots <= len(DRAFTS_EN), self, "shots", self.shots, f"0 to {len(DRAFTS_EN)}")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Hand the inner method a question that asks for drafts."""
        asked = problem.question
        lines = [MINIMUM_DRAFT.to(asked, self.words), *([SEPARATOR.to(asked)] if self.separator else [])]
        solution = await self.inner.solve(told(problem, "\n".join(lines), self._examples(asked)), run)
        obeyed = words_a_line(f"{solution.thinking}\n{solution.answer}")
        return replace(solution, evidence={**solution.evidence, "words_a_line": obeyed})

    def _examples(self, asked: str) -> list[tuple[str, str]]:
        form = "#### {}" if self.separator else "\\boxed{{{}}}"
        return [(one.question, f"{one.steps}\n{form.format(one.answer)}") for one in drafts(asked)[: self.shots]]
