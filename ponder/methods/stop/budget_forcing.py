"""Budget forcing: a thought is cut at its budget, and sent on with "Wait" where it would end too soon (2501.19393)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.steer.thought import NATURAL, PAUSED, Thought, can_close
from ponder.text.prompts import FINAL_ANSWER


@dataclass(frozen=True)
class BudgetForcing:
    """One reply whose thought has a greatest length, and a least one in words instead of tokens."""

    cap: int | None = field(default=None, metadata={"within": "max_tokens"})
    """The most tokens of the thought; by default what the reply's own limit leaves for it; 0 is no thought at all."""
    waits: int = 1
    """How often the end of the thought is taken back."""
    word: str = "Wait"
    """What is put in its place."""
    final: bool = True
    """Begin the answer to a thought that was cut with `Final Answer:`, as the paper does."""

    def __post_init__(self) -> None:
        require(self.cap is None or self.cap >= 0, self, "cap", self.cap, "at least 0")
        require(self.waits >= 0, self, "waits", self.waits, "at least 0")
        require(bool(self.word.strip()), self, "word", self.word, "a word")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply."""
        return {"main": frozenset({Cap.PREFILL})}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply. A model without think marks has no thought to force, and is asked plainly."""
        thought = Thought(run, _begun(problem, run), by_hand=True)
        waited = 0
        while True:
            last = waited == self.waits
            reason = await thought.think(None if self.cap is None else max(0, self.cap - thought.tokens), through=last)
            if last or reason != NATURAL or thought.closed or not thought.closable:
                break
            waited += 1
            thought.extend(self.word if thought.text[-1:].isspace() else f"\n{self.word}")
        cue = FINAL_ANSWER.to(problem.question) if self.final and reason != NATURAL else ""
        await thought.answer("budget" if reason == PAUSED else reason, cue=cue)
        asked: dict[str, float | str] = {} if self.cap is None else {"budget": self.cap}
        return thought.solution({"enforced_by": "prefill" if thought.closable else "none", "waits": waited, **asked})


def _begun(problem: Problem, run: Run) -> Prompt:
    """Return the prompt with the thought opened, as the paper opens it: a budget is for thoughts that take place."""
    marks, prompt = run.engine.think, Prompt.of(problem)
    asis = marks.opened or not marks.open or not can_close(run.engine, prompt)
    return prompt if asis else prompt + f"{marks.open.strip()}\n"
