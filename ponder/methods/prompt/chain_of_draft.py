"""Chain of Draft: think step by step, but write only a few words for each step (2502.18600)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Method, Solution
from ponder.core.problem import Message, Problem, Prompt
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.text.prompts import DRAFTS_EN, MINIMUM_DRAFT, SEPARATOR, drafts


@dataclass(frozen=True)
class ChainOfDraft:
    """The paper's instruction, and worked drafts where they are asked for."""

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
        messages = Prompt.of(problem, "\n".join(lines)).messages
        last = max(i for i, message in enumerate(messages) if message.role == "user")
        messages = (*messages[:last], *self._examples(asked), *messages[last:])
        return await self.inner.solve(replace(problem, messages=messages), run)

    def _examples(self, asked: str) -> list[Message]:
        turns: list[Message] = []
        for draft in drafts(asked)[: self.shots]:
            answer = f"#### {draft.answer}" if self.separator else f"\\boxed{{{draft.answer}}}"
            turns.append(Message.of("user", draft.question))
            turns.append(Message.of("assistant", f"{draft.steps}\n{answer}"))
        return turns
