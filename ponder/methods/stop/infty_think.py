"""InftyThink: a thought is written in segments, each from a summary of those before, which are dropped (2503.06692)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.steer.thought import NATURAL, PAUSED, Thought, shut
from ponder.text.prompts import SO_FAR, SUMMARISE

_OPEN, _CLOSE = "<summary>", "</summary>"
_END = "end"


@dataclass(frozen=True)
class InftyThink:
    """One reply of at most `rounds` segments. The context stays short, and the tokens in all grow."""

    segment: int = 2048
    """The most tokens that are thought before a summary."""
    summary: int = 512
    """The most tokens of a summary."""
    rounds: int = 10
    """The most segments: the last one is closed at its end and answered."""
    trained: bool = False
    """The model was trained on this form: it closes a segment itself and writes a <summary>, which is its <history> in
    the next. Any other model is asked for the summary in words."""

    def __post_init__(self) -> None:
        require(self.segment >= 1, self, "segment", self.segment, "at least 1")
        require(self.summary >= 1, self, "summary", self.summary, "at least 1")
        require(self.rounds >= 1, self, "rounds", self.rounds, "at least 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply."""
        return {"main": frozenset({Cap.PREFILL})}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply. A thought that cannot be closed by hand is not divided."""
        thought, history, done = Thought(run, Prompt.of(problem), by_hand=True), "", 1
        if not thought.closable:
            reason = await thought.think()
        while thought.closable:
            reason = await thought.think(self.segment, through=not self.trained or done == self.rounds)
            ended = reason not in (PAUSED, NATURAL) if self.trained else reason != PAUSED
            if ended or thought.closed or done == self.rounds:
                break
            said = await (self._tagged(thought, run, reason) if self.trained else self._asked(thought, problem))
            if said is None:
                break
            # What was dropped and not summed up is lost; an empty summary leaves the one before.
            history = said or history
            run.note(f"round {done}: {history}")
            thought.prompt = self._anew(problem, run, history)
            done += 1
        await thought.answer("budget" if reason == PAUSED else reason)
        peak = max((call.prompt_tokens + call.tokens for call in run.calls), default=0)
        return thought.solution({"rounds": done, "summary": history, "peak_context": peak})

    async def _asked(self, thought: Thought, problem: Problem) -> str | None:
        """Let the model sum up inside its thought; return None if it came to its answer instead."""
        cue = SUMMARISE.to(problem.question)
        thought.extend(f"\n\n{cue}\n")
        begin, last = len(thought.text), ""

        def paragraph(text: str) -> str | None:
            nonlocal last
            last += text
            return _END if "\n\n" in last.lstrip() else None

        reason = await thought.think(self.summary, paragraph)
        if reason not in (PAUSED, _END):
            return None
        return thought.text[begin:].strip().partition("\n\n")[0]

    async def _tagged(self, thought: Thought, run: Run, reason: str) -> str | None:
        """Close the segment and read the summary; return None if an answer follows instead of one."""
        prompt = thought.prompt + shut(run.engine.think, thought.prompt.prefill).rstrip()
        if reason == PAUSED:
            # The model was not done with the segment, so it would not have summed up by itself.
            prompt += _OPEN
        said = prompt.prefill[len(prompt.prefill) - len(_OPEN) :] if reason == PAUSED else ""
        async with run.quiet(thought.spent).stream(prompt, "think", max_tokens=self._room(thought), stop=()) as live:
            async for chunk in live:
                said += chunk.text
                begun = said.lstrip()[: len(_OPEN)]
                if _CLOSE in said or not _OPEN.startswith(begun):
                    break
        thought.spent += live.call.tokens
        if not said.lstrip().startswith(_OPEN):
            return None
        return said.partition(_OPEN)[2].partition(_CLOSE)[0].strip()

    def _room(self, thought: Thought) -> int:
        return min(self.summary, thought.left)

    def _anew(self, problem: Problem, run: Run, history: str) -> Prompt:
        """Return the question with the summary, and nothing else of what was thought."""
        marks, prompt = run.engine.think, Prompt.of(problem)
        opening = "" if marks.opened or not marks.open else f"{marks.open.strip()}\n"
        if self.trained:
            return prompt + f"<history>\n{history}\n</history>\n{opening}"
        return prompt + f"{opening}{SO_FAR.to(problem.question)}\n{history}\n\n"
