"""Adaptive consistency: sample until the leading answer is the majority with enough certainty (2305.11860)."""

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
from ponder.steer.elect import check_samples, elected, limit, silent, votes
from ponder.text.certainty import certaindex
from ponder.text.stopping import confidence, settled
from ponder.text.votes import classes


@dataclass(frozen=True)
class AdaptiveConsistency:
    """A majority of as many samples as it takes; a tie goes to the answer that the earlier sample gave."""

    n: int = 40
    """How many samples at most."""
    rule: Literal["beta", "dirichlet", "certaindex"] = "beta"
    """Compares the two leading answers, by a Dirichlet distribution the five leading ones, by entropy all of them."""
    threshold: float = 0.95
    """How sure is enough, in 0 to 1: the probability that the leader is the likeliest answer, or the certaindex."""
    batch: int = 1
    """How many samples are drawn side by side between two looks."""
    patience: int = 10
    """After how many samples, none of which states an answer, no more are drawn; 0 is never."""
    inner: Method = field(default_factory=Sample)
    """Gives one sample."""
    temperature: float | None = None
    """Of the samples. By default the run's own, or 0.7 for several samples of a greedy run."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)
        require(0 <= self.threshold <= 1, self, "threshold", self.threshold, "0 to 1")
        require(self.batch >= 1, self, "batch", self.batch, "at least 1")
        require(self.patience >= 0, self, "patience", self.patience, "at least 0")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Sample round by round, and show the first sample of the class that leads."""
        samples: list[Draw] = []
        groups: list[list[int]] = []
        sure = 0.0
        while len(samples) < self.n and not (limit(samples) or silent(samples, self.patience)):
            places = range(len(samples), min(len(samples) + self.batch, self.n))
            heat = self.temperature
            samples += await gather(draw(self.inner, problem, run, i, temperature=heat, n=self.n) for i in places)
            stated = [sample.stated for sample in samples]
            groups = classes(stated, run.same)
            sizes = [len(group) for group in groups]
            sure = certaindex(stated, run.same) if self.rule == "certaindex" else confidence(sizes, self.rule)
            if groups and (sure >= self.threshold or settled(map(len, groups), self.n - len(samples))):
                break
        winner = max(groups, key=len, default=[])
        chosen = samples[winner[0] if winner else 0]
        early = "unanswered" if not groups else "sure" if sure >= self.threshold else "settled"
        exit_ = {"exit": early} if len(samples) < self.n and not limit(samples) else {}
        return elected(run, chosen, {**votes(samples, winner), "confidence": sure, **exit_}, limit(samples))
