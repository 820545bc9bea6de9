"""Dynasor: a thought is asked on the side what it has come to, and ends once its answers agree (2412.20993)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.steer.glimpse import Ask, Glimpse, beside, conclude, glimpse, rescue
from ponder.steer.thought import PAUSED, Thought
from ponder.text.certainty import HESITATION, agreement, says
from ponder.text.prompts import PROBE

AGREED = "agreement"


@dataclass(frozen=True)
class Dynasor:
    """One reply, whose thought is probed after every `every` tokens and closed once `count` probes agree."""

    every: int = 64
    """Tokens of thought between two probes."""
    count: int = 3
    """How many probes are compared, the last ones."""
    agree: float = 1.0
    """Which share of them has to equal the last one."""
    after: int = 0
    """The least tokens of thought before the first probe: early agreement is mostly on a first guess."""
    ask: Ask = "sentence"
    """Ask by the paper's sentence at the end of the thought, or by closing the thought and beginning a box."""
    probe: int = 20
    """The most tokens of a probe."""
    temperature: float = 0.6
    """Of the probes."""
    top_p: float = 0.95
    """Of the probes."""
    conclude: bool = True
    """Let the model write its answer; else the probed one stands in the paper's fixed sentence, at no further token."""

    def __post_init__(self) -> None:
        require(self.every >= 1, self, "every", self.every, "at least 1")
        require(self.count >= 1, self, "count", self.count, "at least 1")
        require(0 < self.agree <= 1, self, "agree", self.agree, "above 0 and at most 1")
        require(self.after >= 0, self, "after", self.after, "at least 0")
        require(self.probe >= 1, self, "probe", self.probe, "at least 1")
        require(self.temperature >= 0, self, "temperature", self.temperature, "at least 0")
        require(0 < self.top_p <= 1, self, "top_p", self.top_p, "above 0 and at most 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply."""
        return {"main": frozenset({Cap.PREFILL})}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply. A thought that cannot be closed by hand is not probed."""
        thought, seen = Thought(run, Prompt.of(problem), by_hand=True), list[Glimpse]()
        reason = await self._think(thought, run, problem.question, seen)
        evidence: dict[str, float | str] = {
            "probes": len(seen),
            "answers": " | ".join(probe.answer for probe in seen),
            "stopped_at": thought.tokens,
        }
        fixed = not (self.conclude or problem.response_format or run.sampling.logprobs)
        if reason == AGREED and fixed:
            return conclude(thought, run, problem.question, seen[-1].answer, AGREED, evidence)
        await thought.answer(reason)
        answers = (probe.answer for probe in seen)
        return rescue(thought, run, problem.question, answers, thought.solution(evidence))

    async def _think(self, thought: Thought, run: Run, question: str, seen: list[Glimpse]) -> str:
        """Think until the probes agree or the thought ends; return why it ended."""
        if not thought.closable:
            return await thought.think()
        reason = await thought.think(max(self.every, self.after))
        while reason == PAUSED:
            prompt = beside(thought, run, self.ask, PROBE, question)
            probe = await glimpse(
                run.quiet(len(seen)),
                prompt,
                thought.tokens,
                whole=True,
                max_tokens=self.probe,
                temperature=self.temperature,
                top_p=self.top_p,
            )
            seen.append(probe)
            run.note(f"probe at {probe.at}: {probe.answer or 'no answer'}")
            if self._enough(seen, run):
                return AGREED
            reason = await thought.think(self.every)
        return reason

    def _enough(self, seen: list[Glimpse], run: Run) -> bool:
        """Say whether the last answers agree. A probe that hesitates counts as none, and so does an empty one."""
        if len(seen) < self.count:
            return False
        answers = ["" if says(probe.text, HESITATION) else probe.stated for probe in seen[-self.count :]]
        return agreement(answers, self.count, run.same) >= self.agree
