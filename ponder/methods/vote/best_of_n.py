"""Best of N: sample several replies and take the one that a scorer likes best (2110.14168)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ponder.core.engine import Cap
from ponder.core.gather import gather
from ponder.core.judge import Scorer
from ponder.core.method import Method, Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Purse, Run
from ponder.methods.vote.sample import Sample
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.steer.draw import Draw, draw
from ponder.steer.elect import able, check_samples, elected, limit
from ponder.steer.race import Race
from ponder.steer.score import Steps, scored


@dataclass(frozen=True)
class BestOfN:
    """The best-scored of `n` concurrent samples; of equal scores, the earlier sample's."""

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
    stop_at: float | None = None
    """A score that is good enough: the sample that reaches it with the fewest tokens is taken, the others are ended."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs, and the scorer where there is anything to score."""
        return self.inner.needs() if self.n == 1 else merge_needs(self.inner.needs(), self.scorer.needs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Sample, score, and show the sample that won. A single sample is the inner method's own."""
        if self.n == 1 and self.temperature is None:
            return await self.inner.solve(problem, run)
        if self.stop_at is not None and self.n > 1:
            return await self._first_good(problem, run, self.stop_at)
        samples = await gather(self._draw(problem, run, i) for i in range(self.n))
        rivals = able(samples)
        values = await self._scores(problem, rivals, run.quiet(self.n)) if len(rivals) > 1 else {}
        return self._best(run, samples, values)

    async def _draw(self, problem: Problem, run: Run, index: int, purse: Purse | None = None) -> Draw:
        asks = self.scorer.asks() if self.n > 1 else None
        heat = self.temperature
        return await draw(self.inner, problem, run, index, temperature=heat, n=self.n, asks=asks, purse=purse)

    async def _scores(self, problem: Problem, samples: list[Draw], run: Run) -> dict[int, float]:
        """Return scores by sample number; none where the deadline passes first."""
        values = await scored(self.scorer, problem, samples, run, self.steps)
        return {} if values is None else {sample.index: value for sample, value in zip(samples, values, strict=True)}

    async def _first_good(self, problem: Problem, run: Run, enough: float) -> Solution:
        """Score each sample as it ends, until one is good enough."""
        race = Race(self.n)
        values: dict[int, float] = {}

        async def one(index: int) -> Draw:
            sample = await self._draw(problem, run, index, race.purses[index])
            if sample.whole and sample.stated is not None and not race.lost(index):
                values.update(await self._scores(problem, [sample], run.quiet(self.n + index)))
                if index in values and values[index] >= enough:
                    race.good(index)
            return sample

        samples = await gather(one(i) for i in range(self.n))
        first = race.winner
        if first is None:
            return self._best(run, samples, values)
        evidence: dict[str, float | str]
        evidence = {"score": values[first], "sample": first + 1, "n": self.n, "exit": "score"}
        return elected(run, samples[first], evidence)

    def _best(self, run: Run, samples: list[Draw], values: Mapping[int, float]) -> Solution:
        """Return the best-scored sample; without any score the first that may win, or the first of all."""
        rivals = able(samples)
        late = len(rivals) > 1 and any(sample.whole and sample.index not in values for sample in rivals)
        known = [sample for sample in rivals if sample.index in values] or rivals or samples
        chosen = max(known, key=lambda sample: values.get(sample.index, 0.0))
        score: dict[str, float | str] = {"score": values[chosen.index]} if chosen.index in values else {}
        failed = sum(sample.stated is None for sample in samples)
        evidence = {**score, "sample": chosen.index + 1, "n": self.n, "failed": failed}
        return elected(run, chosen, evidence, "deadline" if late else limit(samples))
