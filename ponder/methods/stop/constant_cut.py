"""Constant cut: every thought is closed at the same length and answered, whatever it says; the control of all stops."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.errors import OptionError, require
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.steer.thought import PAUSED, Thought


@dataclass(frozen=True)
class ConstantCut:
    """One reply whose thought is closed after `tokens`, or after a `share` of `typical` tokens."""

    tokens: int = 256
    """The most tokens of the thought."""
    share: float | None = None
    """Take this share of `typical` instead of `tokens`."""
    typical: int | None = None
    """How long this model's thoughts are on such questions, in tokens: a mean that was measured before."""

    def __post_init__(self) -> None:
        require(self.tokens >= 1, self, "tokens", self.tokens, "at least 1")
        require(self.share is None or self.share > 0, self, "share", self.share, "above 0")
        require(self.typical is None or self.typical >= 1, self, "typical", self.typical, "at least 1")
        if (self.share is None) != (self.typical is None):
            raise OptionError("ConstantCut: share is a share of typical; give both, or neither and tokens")

    @property
    def limit(self) -> int:
        """Where thoughts are cut, in tokens."""
        if self.share is None or self.typical is None:
            return self.tokens
        return max(1, round(self.share * self.typical))

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply."""
        return {"main": frozenset({Cap.PREFILL})}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply. A thought that cannot be closed by hand is not cut."""
        thought = Thought(run, Prompt.of(problem), by_hand=True)
        reason = await thought.think(self.limit if thought.closable else None)
        await thought.answer("cut" if reason == PAUSED else reason)
        return thought.solution({"stopped_at": thought.tokens, "budget": self.limit})
