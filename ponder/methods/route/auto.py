"""Auto: no thought for chores and trivia, a bounded one for the rest, and none that repeats itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Solution
from ponder.core.problem import EFFORTS, Problem, Thinking
from ponder.core.run import Run
from ponder.steer.ask import Wish, ask
from ponder.text.errands import chore, trivial

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class Route(NamedTuple):
    """A decision: its name, the reason in words, and what is asked for."""

    name: Literal["asked", "background", "trivial", "bounded"]
    reason: str
    thinking: Thinking
    bound: int | None


@dataclass(frozen=True)
class Auto:
    """What a request asks for comes first; where it asks for nothing, its wording decides, and in doubt it thinks."""

    mode: Literal["auto", "off", "on", "budget", "effort"] = "auto"
    """What the request asks for: `auto` is nothing."""
    tokens: int | None = field(default=None, metadata={"within": "max_tokens"})
    """The most tokens of the thought, in any mode; by default those of the effort, where there is one."""
    effort: Effort = "high"
    """How hard to think in the modes `auto` and `effort`."""

    def __post_init__(self) -> None:
        fits = self.tokens is None or self.tokens >= 1
        require(fits, self, "tokens", self.tokens, "at least 1; mode=off asks for no thinking")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: what the engine cannot do is left out, and the evidence says so."""
        return {"main": frozenset()}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Stream one reply."""
        route = self.route(problem)
        # What was asked for in so many words must not be dropped; what this method thought of by itself may.
        wish = Wish(route.thinking, route.bound, loops=True, answers=True, must=route.name == "asked")
        solution = await ask(problem, run, wish)
        return replace(solution, evidence={**solution.evidence, "route": route.name, "reason": route.reason})

    def route(self, problem: Problem) -> Route:
        """Decide, without asking any model."""
        if self.mode == "auto" and not problem.tools:
            system = next((m.text for m in problem.messages if m.role in ("system", "developer")), "")
            if kind := chore(problem.question, system):
                return Route("background", f"a chore of a chat program: {kind}", Thinking.off(), None)
            if kind := trivial(problem.question):
                return Route("trivial", f"nothing to think about: {kind}", Thinking.off(), None)
        return self._asked()

    def _asked(self) -> Route:
        name: Literal["asked", "bounded"] = "bounded" if self.mode == "auto" else "asked"
        if self.mode == "off":
            return Route(name, "thinking is turned off", Thinking.off(), None)
        if self.mode == "on" and self.tokens is None:
            return Route(name, "thinking is turned on", Thinking.on(), None)
        bound = EFFORTS[self.effort] if self.tokens is None else self.tokens
        if bound == 0:
            return Route(name, "thinking is bounded by nothing at all", Thinking.off(), 0)
        reason = f"effort {self.effort}" if self.tokens is None else f"at most {self.tokens} tokens"
        if self.mode == "effort":
            return Route(name, reason, Thinking.effort(self.effort), bound)
        return Route(name, reason, Thinking.on() if bound is None else Thinking.budget(bound), bound)
