"""Length-filtered vote: only replies of those lengths vote among which answers agree most (2502.07266)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.gather import gather
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.steer.draw import Draw, draw
from ponder.steer.elect import check_samples, elected, limit, votes
from ponder.text.lengths import agreeing, bins_by_quantile, bins_by_width, lines, paragraphs
from ponder.text.votes import classes


@dataclass(frozen=True)
class LengthFilteredVote:
    """A majority of the samples in the `keep` bins of length with the least entropy; ties go to shorter bins."""

    n: int = 8
    """How many samples."""
    keep: int = 3
    """How many bins vote."""
    unit: Literal["lines", "paragraphs", "tokens"] = "lines"
    """What a length counts: steps, which end with a line or a blank line, or tokens."""
    width: int = 2
    """Steps that a bin spans."""
    bins: int = 4
    """How many bins there are of tokens, all with about as many samples."""
    smallest: int = 2
    """Samples that a bin must have to be judged by its entropy; 1 judges all, as the paper does."""
    inner: Method = field(default_factory=Sample)
    """Gives one sample."""
    temperature: float | None = None
    """Of the samples. By default the run's own, or 0.7 for several samples of a greedy run."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)
        for name, value in {"keep": self.keep, "width": self.width, "smallest": self.smallest}.items():
            require(value >= 1, self, name, value, "at least 1")
        require(1 <= self.bins <= 1000, self, "bins", self.bins, "1 to 1,000")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Sample, filter, vote, and show the first sample of the class that won."""
        heat = self.temperature
        samples = await gather(draw(self.inner, problem, run, i, temperature=heat, n=self.n) for i in range(self.n))
        groups = classes([sample.stated for sample in samples], run.same)
        lengths = {sample.index: self._length(sample) for sample in samples if sample.stated is not None}
        in_tokens = self.unit == "tokens"
        bins = bins_by_quantile(lengths, self.bins) if in_tokens else bins_by_width(lengths, self.width)
        kept = agreeing(bins, groups, self.keep, self.smallest)
        voting = [[index for index in group if index in kept] for group in groups]
        winner = max(voting, key=len, default=[])
        evidence = {**votes(samples, winner), "bins": len(bins), "kept": len(kept)}
        return elected(run, samples[winner[0] if winner else 0], evidence, limit(samples))

    def _length(self, sample: Draw) -> int:
        """Return the length of a sample's thought, or of its answer where it has none."""
        if self.unit == "tokens":
            return sample.call.tokens
        text = sample.solution.thinking or sample.solution.answer
        return lines(text) if self.unit == "lines" else paragraphs(text)
