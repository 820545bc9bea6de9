"""Cascade: the cheapest way first, and the next one only where the answer is uncertain (2305.05176, 2310.03094)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.judge import Scorer
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.steer.climb import MAIN, Last, Rung, climb, filled, needs_of
from ponder.steer.elect import check_samples


@dataclass(frozen=True)
class Cascade:
    """The answer of the first rung whose score reaches its threshold, else that of the last rung, which is not scored.

    Where `on`, `scorers` or `thresholds` name fewer than there are rungs, the last one named serves the others.
    """

    rungs: tuple[Method, ...] = field(default_factory=lambda: (Sample(cot=False), Sample(cot=True)))
    """What answers, in this order; at least two."""
    on: tuple[str, ...] = (MAIN,)
    """The engine of each rung; `main` is the one that this method itself is given."""
    scorers: tuple[Scorer, ...] = field(default_factory=lambda: (MeanLogprob(),))
    """Says how certain a rung's answer is."""
    thresholds: tuple[float, ...] = (-0.1,)
    """The least score with which a rung's answer is taken."""
    samples: int = 1
    """How many samples a rung but the last one draws, of which the best-scored counts; agreement needs several."""
    temperature: float | None = None
    """Of several samples. By default the run's own, or 0.7 for several samples of a greedy run."""

    def __post_init__(self) -> None:
        check_samples(self, self.samples, self.temperature)
        count = len(self.rungs)
        require(count >= 2, self, "rungs", count, "at least two methods")
        for name, given in {"on": self.on, "scorers": self.scorers, "thresholds": self.thresholds}.items():
            require(1 <= len(given) <= count, self, name, len(given), f"1 to {count}, the number of rungs")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What every rung needs of its engine, and the scorers."""
        return needs_of(*self._rungs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Climb until an answer is certain enough."""
        return await climb(problem, run, *self._rungs(), self.samples, self.temperature)

    def _rungs(self) -> tuple[list[Rung], Last]:
        count = len(self.rungs)
        on = filled(self.on, count)
        parts = zip(self.rungs[:-1], on, filled(self.scorers, count), filled(self.thresholds, count), strict=False)
        return [Rung(*one) for one in parts], Last(self.rungs[-1], on[-1])
