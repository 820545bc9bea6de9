"""Self-consistency: sample several replies and take the answer that most of them state (2203.11171)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ponder.core.engine import Cap
from ponder.core.gather import gather
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.steer.draw import draw
from ponder.steer.elect import check_samples, elected, limit, votes
from ponder.text.votes import classes


@dataclass(frozen=True)
class SelfConsistency:
    """A plain majority of `n` concurrent samples; a tie goes to the answer that the earlier sample gave."""

    n: int = 8
    """How many samples."""
    inner: Method = field(default_factory=Sample)
    """Gives one sample."""
    temperature: float | None = None
    """Of the samples. By default the run's own, or 0.7 for several samples of a greedy run: equal ones cannot vote."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Sample, vote, and show the first sample of the class that won."""
        jobs = (draw(self.inner, problem, run, i, temperature=self.temperature, n=self.n) for i in range(self.n))
        samples = await gather(jobs)
        groups = classes([sample.stated for sample in samples], run.same)
        winner = max(groups, key=len, default=[])
        return elected(run, samples[winner[0] if winner else 0], votes(samples, winner), limit(samples))
