"""Self-certainty: samples are ranked by how sure the model was of their tokens, and vote by rank (2502.18581)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.errors import require
from ponder.core.gather import gather
from ponder.core.method import Method, Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.steer.draw import Draw, draw
from ponder.steer.elect import check_samples, elected, limit, votes
from ponder.text.votes import classes, rank_weights


@dataclass(frozen=True)
class SelfCertainty:
    """A Borda vote of `n` concurrent samples; a tie goes to the answer that the earlier sample gave."""

    n: int = 8
    """How many samples."""
    inner: Method = field(default_factory=Sample)
    """Gives one sample."""
    temperature: float | None = None
    """Of the samples. By default the run's own, or 0.7 for several samples of a greedy run."""
    power: float = 0.5
    """The sample of rank r has (n - r + 1) ** power votes: 0 is a plain majority."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)
        require(0 <= self.power <= 50, self, "power", self.power, "0 to 50")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs, and the distribution over the whole vocabulary."""
        return merge_needs(self.inner.needs(), {"main": frozenset({Cap.FULL_LOGPROBS})})

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Sample, rank, vote, and show the first sample of the class that won."""
        heat, n, asks = self.temperature, self.n, SamplingArgs(certainty=True)
        samples = await gather(draw(self.inner, problem, run, i, temperature=heat, n=n, asks=asks) for i in range(n))
        weights = rank_weights(scores := [_certainty(sample) for sample in samples], self.power)
        groups = classes([sample.stated for sample in samples], run.same)
        sums = [math.fsum(weights[i] for i in group) for group in groups]
        winner = groups[sums.index(max(sums))] if groups else []
        chosen = winner[0] if winner else 0
        told = {"weight": max(sums, default=0.0) / (math.fsum(sums) or 1.0), "certainty": max(0.0, scores[chosen])}
        return elected(run, samples[chosen], {**votes(samples, winner), **told}, limit(samples))


def _certainty(sample: Draw) -> float:
    """Return the mean over the tokens of KL(U || p), in nats; a sample that states no answer ranks last."""
    values = [token.certainty for token in sample.call.logprobs if token.certainty is not None]
    return math.fsum(values) / len(values) if values and sample.stated is not None else -math.inf
