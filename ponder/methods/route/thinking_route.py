"""Thinking route: a router says how hard a question is, and one hybrid model thinks fast or slow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.judge import Router
from ponder.core.method import Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.routers.constant import ConstantRouter
from ponder.steer.ask import ask
from ponder.steer.modes import check_modes, wish_for
from ponder.steer.rating import check_choices
from ponder.steer.route import Side, decide


@dataclass(frozen=True)
class ThinkingRoute:
    """The cheapest mode first, a dearer one where the router's rating of it is enough better."""

    router: Router = field(default_factory=ConstantRouter)
    """Rates the choices."""
    threshold: float = 0.5
    """The least chance of doing better with which a dearer mode is taken, 0 to 1; 0 takes the dearest."""
    choices: tuple[str, ...] = ("weak", "strong")
    """What the router calls the modes, the cheapest first."""
    modes: tuple[str, ...] = field(default=("off", "on"), metadata={"within": "max_tokens"})
    """What each choice means: `off`, `on`, a number of tokens, or an effort label."""
    fallback: Side = "strong"
    """Which mode is taken where the router fails: the dearest or the cheapest."""

    def __post_init__(self) -> None:
        require(0 <= self.threshold <= 1, self, "threshold", self.threshold, "0 to 1")
        check_choices(self, self.choices)
        check_modes(self, self.modes, len(self.choices))

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the router needs; of the model nothing for certain, as with `thinking_mode`."""
        return merge_needs({"main": frozenset()}, self.router.needs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Choose a mode and stream one reply. Raises `Unsupported` for a model that cannot be kept to the mode."""
        mode, evidence = await self.choose(problem, run)
        solution = await ask(problem, run, wish_for(mode))
        return replace(solution, evidence={**solution.evidence, **evidence})

    async def choose(self, problem: Problem, run: Run) -> tuple[str, dict[str, float | str]]:
        """Return the mode for a question, and what the solution says of the choice."""
        found = await decide(self.router, self.choices, self.threshold, self.fallback, problem, run)
        mode = self.modes[found.place]
        return mode, {**found.evidence, "route": mode}
