"""RouteLLM: a question goes to the strong choice where it is likely enough to do better there (2406.18665)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.judge import Router
from ponder.core.method import Method, Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.routers.constant import ConstantRouter
from ponder.steer.route import Side, decide


@dataclass(frozen=True)
class RouteLLM:
    """Two choices, or several in order of cost, each a method on an engine of its own."""

    router: Router = field(default_factory=ConstantRouter)
    """Rates the choices; as it comes, everything goes to the strong one."""
    threshold: float = 0.5
    """How likely a dearer choice must do better, in 0 to 1: 0 sends everything to the dearest."""
    weak: Method = field(default_factory=Sample)
    """Answers for the cheapest choice."""
    between: tuple[Method, ...] = ()
    """Answers for the choices between, if there are more than two, the cheaper first."""
    strong: Method = field(default_factory=Sample)
    """Answers for the dearest choice."""
    choices: tuple[str, ...] = ("weak", "strong")
    """What the router calls the choices, the cheapest first."""
    engines: tuple[str, ...] = ("main", "strong")
    """On which engine each choice answers, in the same order."""
    fallback: Side = "strong"
    """Where a question goes when the router fails."""

    def __post_init__(self) -> None:
        require(0 <= self.threshold <= 1, self, "threshold", self.threshold, "in 0 to 1")
        count = len(self.between) + 2
        named = len(set(self.choices)) == len(self.choices) == count
        require(named, self, "choices", self.choices, f"{count} different names, one for each method")
        require(len(self.engines) == count, self, "engines", self.engines, f"{count} names, one for each method")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the router needs, and each method on its engine."""
        methods = zip((self.weak, *self.between, self.strong), self.engines, strict=True)
        parts = ({engine if n == "main" else n: c for n, c in method.needs().items()} for method, engine in methods)
        return merge_needs(self.router.needs(), *parts)

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Ask the router, then the method of the choice. Raises `DataError` where the router's files cannot be used."""
        name, evidence = await self.choose(problem, run)
        place = self.choices.index(name)
        method = (self.weak, *self.between, self.strong)[place]
        solution = await method.solve(problem, run.on(self.engines[place]))
        return replace(solution, evidence={**solution.evidence, **evidence})

    async def choose(self, problem: Problem, run: Run) -> tuple[str, dict[str, float | str]]:
        """Return the name of the choice, and what the solution says of it."""
        place, evidence = await decide(self.router, self.choices, self.threshold, self.fallback, problem, run)
        return self.choices[place], evidence
