"""Confident or seek stronger: a small model's certainty routes, by a threshold measured beforehand (2502.04428)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.files import Files
from ponder.core.judge import Scorer
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.steer.calibration import load
from ponder.steer.climb import MAIN, Last, Rung, climb, needs_of
from ponder.steer.elect import check_samples

CALIBRATIONS = Files(load)


@dataclass(frozen=True)
class ConfidentOrSeekStronger:
    """The weak answer where its score reaches the threshold, else the strong one."""

    weak: Method = field(default_factory=lambda: Sample(cot=False))
    """Answers first."""
    strong: Method = field(default_factory=lambda: Sample(cot=True))
    """Answers what the weak one is not certain of."""
    strong_on: str = MAIN
    """The engine of the strong one."""
    scorer: Scorer = field(default_factory=MeanLogprob)
    """The measure of certainty."""
    threshold: float = -0.1
    """The least score with which the weak answer is taken, where there is no calibration."""
    calibration: str = ""
    """A file of measured scores, which turns `share` into a threshold; it is read again once it changes."""
    share: float = 0.5
    """The share of questions that shall be sent to the strong one, by the calibration."""
    samples: int = 1
    """How many weak samples are drawn, of which the best-scored counts; agreement and Jaccard need several."""

    def __post_init__(self) -> None:
        check_samples(self, self.samples, None)
        require(0 <= self.share <= 1, self, "share", self.share, "0 to 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What both ways and the scorer need."""
        return needs_of([Rung(self.weak, MAIN, self.scorer, 0)], Last(self.strong, self.strong_on))

    def read_files(self) -> None:
        """Read the calibration. Raises `DataError` for one that cannot be read."""
        if self.calibration:
            CALIBRATIONS.read(Path(self.calibration))

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Answer, and ask again where that is not certain. Raises `DataError` for a calibration that cannot be read."""
        least = self.threshold
        if self.calibration:
            least = (await CALIBRATIONS.get(Path(self.calibration))).threshold(self.share)
        rung = Rung(self.weak, MAIN, self.scorer, least)
        return await climb(problem, run, [rung], Last(self.strong, self.strong_on), self.samples)
