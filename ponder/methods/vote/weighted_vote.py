"""Weighted vote: sample several replies, and let each vote for its answer with the weight of its score (2110.14168,
2502.18581).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from ponder.core.engine import Cap
from ponder.core.errors import OptionError, require
from ponder.core.gather import gather
from ponder.core.judge import Scorer
from ponder.core.method import Method, Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.steer.draw import draw
from ponder.steer.elect import check_samples, elected, limit, votes
from ponder.steer.score import Steps, scored
from ponder.text.votes import classes, exp_weights, rank_weights


@dataclass(frozen=True)
class WeightedVote:
    """The answer whose `n` concurrent samples weigh most together; a tie goes to the answer seen first."""

    n: int = 8
    """How many samples."""
    inner: Method = field(default_factory=Sample)
    """Gives one sample."""
    scorer: Scorer = field(default_factory=MeanLogprob)
    """Says how good a sample is."""
    temperature: float | None = None
    """Of the samples. By default the run's own, or 0.7 for several samples of a greedy run."""
    steps: Steps = "value"
    """The score of a reply: the scorer's own value, or the least, the product, the last or the mean of its steps."""
    weight: Literal["rank", "softmax", "score"] = "rank"
    """From scores to weights: by rank, exp(score), or the score as it is, which must not be negative."""
    power: float = 1.0
    """Of ranks: 0 is a plain majority; the larger, the more the best sample decides."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)
        require(0 <= self.power <= 50, self, "power", self.power, "0 to 50")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method and the scorer need."""
        return merge_needs(self.inner.needs(), self.scorer.needs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Sample, score unless all agree, and show the first sample of the class that weighs most."""
        heat, asks = self.temperature, self.scorer.asks()
        samples = await gather(
            draw(self.inner, problem, run, i, temperature=heat, n=self.n, asks=asks) for i in range(self.n)
        )
        groups = classes([sample.stated for sample in samples], run.same)
        voters = [sample for sample in samples if sample.stated is not None]
        late = False
        weights: Sequence[float] = [1.0] * self.n
        if len(groups) > 1:
            found = await scored(self.scorer, problem, voters, run.quiet(self.n), self.steps)
            late = found is None
            weights = self._weights({s.index: v for s, v in zip(voters, found, strict=True)}) if found else weights
        sums = [math.fsum(weights[i] for i in group) for group in groups]
        winner = groups[max(range(len(groups)), key=sums.__getitem__)] if groups else []
        share = max(sums) / total if (total := math.fsum(sums)) else 0.0
        evidence = {**votes(samples, winner), "weight": share}
        return elected(run, samples[winner[0] if winner else 0], evidence, "deadline" if late else limit(samples))

    def _weights(self, scores: Mapping[int, float]) -> Sequence[float]:
        """Return the weight of each sample. One without an answer ranks last, and has no vote."""
        values = [scores.get(index, -math.inf) for index in range(self.n)]
        if self.weight == "rank":
            return rank_weights(values, self.power)
        if self.weight == "softmax":
            return exp_weights(values)
        # Minus infinity says that there was nothing to score, as where a limit came before a verdict: it adds nothing.
        worst = min((score for score in scores.values() if score > -math.inf), default=0.0)
        if worst < 0 or max(values) == math.inf:
            raise OptionError(
                f"WeightedVote: weight = 'score' adds up scores from 0, and {type(self.scorer).__name__} gave "
                f"{worst:g} to {max(values):g}; use weight = 'rank' or 'softmax'"
            )
        return [max(0.0, value) for value in values]
