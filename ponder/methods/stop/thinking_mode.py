"""Thinking mode: no thought, a bounded one or a full one, spoken as the server speaks, else written into the reply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Solution
from ponder.core.problem import EFFORTS, Problem, Thinking
from ponder.core.run import Run
from ponder.steer.ask import Wish, ask

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


@dataclass(frozen=True)
class ThinkingMode:
    """One reply, its thinking as the fields say."""

    mode: Literal["off", "on", "budget", "effort"] = "on"
    """No thinking, as much as the model likes, a bounded thought, or a label that the server understands."""
    tokens: int | None = field(default=None, metadata={"within": "max_tokens"})
    """The most tokens of a bounded thought, in the modes `budget` and `effort`; by default those of the label."""
    effort: Effort = "medium"
    """The label."""
    sentence: bool = False
    """Let a thought that is cut end with the sentence that Qwen's models are trained on."""

    def __post_init__(self) -> None:
        fits = self.tokens is None or self.tokens >= 1
        require(fits, self, "tokens", self.tokens, "at least 1; mode=off asks for no thinking")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing for certain: a server's switch or a half-written reply will do, and some models do not think."""
        return {"main": frozenset()}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply. Raises `Unsupported` for a model that thinks as it likes and cannot be kept from it."""
        return await ask(problem, run, replace(self._wish(), sentence=self.sentence))

    def _wish(self) -> Wish:
        if self.mode in ("off", "on"):
            return Wish(Thinking(self.mode))
        bound = EFFORTS[self.effort] if self.tokens is None else self.tokens
        if bound == 0:
            return Wish(Thinking.off(), 0)
        if self.mode == "effort":
            return Wish(Thinking.effort(self.effort), bound)
        return Wish(Thinking.on()) if bound is None else Wish(Thinking.budget(bound), bound)
