"""DEER: where a thought turns, a trial answer is forced, and one whose tokens are sure ends it (2504.15895)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.gather import gather
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.steer.draw import heat
from ponder.steer.glimpse import Ask, Glimpse, beside, glimpse, rescue
from ponder.steer.thought import PAUSED, Thought
from ponder.text.certainty import Mean, cautious, confidence
from ponder.text.prompts import TRIAL
from ponder.text.turns import TURNS, Turns

SURE, TURN = "sure", "turn"


@dataclass(frozen=True)
class Deer:
    """One reply, whose thought is closed at the first turn where a trial answer's confidence is above `threshold`."""

    threshold: float = 0.95
    """Confidence that ends the thought: from 1 on none does, below 0 any does."""
    marks: tuple[str, ...] = TURNS
    """What is a turn; for models that use no such words, the end of a paragraph: two line breaks."""
    mean: Mean = "geometric"
    """How the probabilities of the trial answer's tokens become its confidence."""
    skip_first: bool = False
    """Leave the first token out, mostly a brace, as the released code does."""
    trials: int = 10
    """The most turns at which a trial is made."""
    trial: int = 20
    """The most tokens of a trial answer."""
    parallel: int = 1
    """Trial answers at each turn: 4 is DEER-Pro."""
    alpha: float = 1.0
    """How much the disagreement of several trials takes from their mean confidence."""
    share: float = 0.9
    """The most of the reply's `max_tokens` that the thought may take."""
    after: int = 0
    """The least tokens of thought before the first trial."""
    ask: Ask = "sentence"
    """Ask by the paper's words at the end of the thought, or by closing the thought and beginning a box."""

    def __post_init__(self) -> None:
        require(bool(self.marks) and all(self.marks), self, "marks", self.marks, "a list of words, none of them empty")
        require(self.trials >= 1, self, "trials", self.trials, "at least 1")
        require(self.trial >= 1, self, "trial", self.trial, "at least 1")
        require(1 <= self.parallel <= 64, self, "parallel", self.parallel, "in 1 to 64")
        require(self.alpha >= 0, self, "alpha", self.alpha, "at least 0")
        require(0 < self.share <= 1, self, "share", self.share, "above 0 and at most 1")
        require(self.after >= 0, self, "after", self.after, "at least 0")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply and tells how sure it is of its tokens."""
        return {"main": frozenset({Cap.PREFILL, Cap.LOGPROBS})}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply. A thought that cannot be closed by hand is not tried."""
        thought, tried = Thought(run, Prompt.of(problem), by_hand=True), list[tuple[float, str]]()
        reason = await self._think(thought, run, problem.question, tried)
        await thought.answer("budget" if reason == PAUSED else reason)
        answers = [answer for _, answer in tried]
        solution = thought.solution(
            {
                "trials": len(tried),
                "confidences": " | ".join(f"{sure:.4f}" for sure, _ in tried),
                "answers": " | ".join(answers),
                "stopped_at": thought.tokens,
            }
        )
        return rescue(thought, run, problem.question, answers, solution)

    async def _think(self, thought: Thought, run: Run, question: str, tried: list[tuple[float, str]]) -> str:
        """Think until a trial is sure or the thought ends; return why it ended."""
        if not thought.closable:
            return await thought.think()
        cap, turns = int(self.share * run.sampling.max_tokens), Turns(self.marks)
        reason = await thought.think(min(self.after, cap)) if self.after else TURN
        if reason not in (TURN, PAUSED):
            return reason
        while len(tried) < self.trials:
            reason = await thought.think(cap - thought.tokens, lambda text: TURN if turns.feed(text) else None)
            if reason != TURN:
                return reason
            whole = thought.prompt
            thought.drop(turns.behind)
            tried.append(await self._try(thought, run, question, len(tried)))
            if tried[-1][0] > self.threshold:
                return SURE
            thought.prompt = whole
        return await thought.think(cap - thought.tokens)

    async def _try(self, thought: Thought, run: Run, question: str, number: int) -> tuple[float, str]:
        """Return the confidence of the answer that the model would give now, and the answer."""
        prompt = beside(thought, run, self.ask, TRIAL, question)
        warm = heat(0.0, None, self.parallel)
        jobs = (
            glimpse(
                run.quiet(number * self.parallel + i),
                prompt,
                thought.tokens,
                whole=False,
                max_tokens=self.trial,
                temperature=warm,
                logprobs=1,
            )
            for i in range(self.parallel)
        )
        looks = await gather(jobs)
        sure = cautious([self._sure(look) for look in looks], self.alpha)
        run.note(f"trial at {thought.tokens}: {looks[0].answer or 'no answer'}, confidence {sure:.3f}")
        return sure, looks[0].answer

    def _sure(self, look: Glimpse) -> float:
        """Return the confidence of one trial: 0 where it states no answer."""
        return confidence(look.probabilities, self.mean, self.skip_first) if look.answer else 0.0
