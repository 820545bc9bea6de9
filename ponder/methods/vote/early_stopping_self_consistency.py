"""Early-stopping self-consistency: sample in windows, and stop as soon as all samples of one agree (2401.10480)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.gather import gather
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.steer.draw import Draw, draw
from ponder.steer.elect import check_samples, elected, limit, silent, votes
from ponder.text.votes import classes


@dataclass(frozen=True)
class EarlyStoppingSelfConsistency:
    """The answer of the first window whose samples all state it; without one, the majority of all `n` samples."""

    n: int = 40
    """How many samples at most."""
    window: int = 5
    """How many samples are drawn side by side before it is decided whether to go on."""
    patience: int = 10
    """After how many samples, none of which states an answer, no more are drawn; 0 is never."""
    inner: Method = field(default_factory=Sample)
    """Gives one sample."""
    temperature: float | None = None
    """Of the samples. By default the run's own, or 0.7 for several samples of a greedy run."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)
        require(self.window >= 1, self, "window", self.window, "at least 1")
        require(self.patience >= 0, self, "patience", self.patience, "at least 0")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Sample window by window, vote, and show the first sample that states the answer."""
        samples: list[Draw] = []
        winner: list[int] = []
        while len(samples) < self.n and not (winner or limit(samples) or silent(samples, self.patience)):
            start = len(samples)
            window = range(start, min(start + self.window, self.n))
            heat = self.temperature
            samples += await gather(draw(self.inner, problem, run, i, temperature=heat, n=self.n) for i in window)
            last = classes([sample.stated for sample in samples[start:]], run.same)
            if len(last) == 1 and len(last[0]) == self.window:
                winner = [start + i for i in last[0]]
        early = "agreed" if winner else "unanswered"
        exit_ = {"exit": early} if len(samples) < self.n and not limit(samples) else {}
        winner = winner or max(classes([sample.stated for sample in samples], run.same), key=len, default=[])
        chosen = samples[winner[0] if winner else 0]
        return elected(run, chosen, {**votes(samples, winner), **exit_}, limit(samples))
