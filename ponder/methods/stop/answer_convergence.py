"""Answer convergence: a thought ends once the answer it has come to stays the same and is probable (2506.02536)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.steer.glimpse import Ask, Glimpse, beside, glimpse, rescue
from ponder.steer.thought import PAUSED, Thought
from ponder.text.certainty import agreement, confidence
from ponder.text.prompts import PROBE

CONVERGED = "converged"


@dataclass(frozen=True)
class AnswerConvergence:
    """One reply, whose thought is closed after `count` probes in a row with one answer, all above `threshold`."""

    every: int = 64
    """Tokens of thought between two probes."""
    count: int = 2
    """Probes in a row that must agree."""
    threshold: float = 0.9
    """Which probability the answer must have in each of them: the geometric mean over its tokens."""
    after: int = 0
    """The least tokens of thought before the first probe."""
    probe: int = 20
    """The most tokens of a probe."""
    ask: Ask = "sentence"
    """Ask by a sentence at the end of the thought, or by closing the thought and beginning a box."""

    def __post_init__(self) -> None:
        require(self.every >= 1, self, "every", self.every, "at least 1")
        require(self.count >= 1, self, "count", self.count, "at least 1")
        require(self.after >= 0, self, "after", self.after, "at least 0")
        require(self.probe >= 1, self, "probe", self.probe, "at least 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply and tells how sure it is of its tokens."""
        return {"main": frozenset({Cap.PREFILL, Cap.LOGPROBS})}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply. A thought that cannot be closed by hand is not probed."""
        thought, seen = Thought(run, Prompt.of(problem), by_hand=True), list[Glimpse]()
        reason = await self._think(thought, run, problem.question, seen)
        await thought.answer(reason)
        answers = [probe.answer for probe in seen]
        solution = thought.solution(
            {
                "probes": len(seen),
                "answers": " | ".join(answers),
                "probabilities": " | ".join(f"{confidence(probe.probabilities):.4f}" for probe in seen),
                "stopped_at": thought.tokens,
            }
        )
        return rescue(thought, run, problem.question, answers, solution)

    async def _think(self, thought: Thought, run: Run, question: str, seen: list[Glimpse]) -> str:
        """Think until the answer has converged or the thought ends; return why it ended."""
        if not thought.closable:
            return await thought.think()
        reason = await thought.think(max(self.every, self.after))
        while reason == PAUSED:
            prompt, at, aside = beside(thought, run, self.ask, PROBE, question), thought.tokens, run.quiet(len(seen))
            probe = await glimpse(aside, prompt, at, whole=False, max_tokens=self.probe, temperature=0.0, logprobs=1)
            seen.append(probe)
            run.note(f"probe at {at}: {probe.answer or 'no answer'}, {confidence(probe.probabilities):.3f}")
            if self._converged(seen, run):
                return CONVERGED
            reason = await thought.think(self.every)
        return reason

    def _converged(self, seen: list[Glimpse], run: Run) -> bool:
        last = seen[-self.count :]
        sure = all(confidence(probe.probabilities) > self.threshold for probe in last)
        return sure and agreement([probe.stated for probe in last], self.count, run.same) == 1
