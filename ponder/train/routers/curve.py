"""How good a router is: the quality of the routed system at each share of strong calls (2406.18665)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ponder.core.errors import DataError

Numbers = npt.NDArray[np.float64]
BOOTSTRAPS = 1000


@dataclass(frozen=True, slots=True)
class Curve:
    """Shares of strong calls, growing from 0 to 1, and what part of the gap between weak and strong each recovers.

    There is a point for each threshold that tells two questions apart. Between two points lie mixtures of their
    thresholds, so questions of equal score count as if routed at random.
    """

    calls: Numbers
    recovered: Numbers

    @property
    def apgr(self) -> float:
        """The area under the curve, by the trapezoid; random routing has 0.5."""
        steps = np.diff(self.calls) * (self.recovered[1:] + self.recovered[:-1]) / 2
        return math.fsum(steps.tolist())

    @property
    def apgr_ten(self) -> float:
        """The mean at ten equally spaced shares, 0.1 to 1, as the paper prints it; random routing has 0.55."""
        return float(np.interp(np.arange(1, 11) / 10, self.calls, self.recovered).mean())

    def cpt(self, wanted: float) -> float | None:
        """Return the least share of strong calls at which a threshold recovers `wanted` of the gap; None if none does.

        Rounding aside: curves are sums of thousands of small steps.
        """
        reached = np.flatnonzero(self.recovered >= wanted - 1e-9)
        return float(self.calls[reached[0]]) if len(reached) else None


def curve(scores: Sequence[float] | Numbers, weak: Numbers, strong: Numbers) -> Curve:
    """Return the curve of routing the highest scores to the strong choice.

    `weak` and `strong` are the success of each choice on each question, in 0 to 1. Raises `DataError` where both
    choices are equally good in all, for then there is no gap to recover.
    """
    return _drawn(_sorted(scores, weak, strong), np.ones(len(weak)))


class _Sorted(NamedTuple):
    """Questions by falling score: the success of both choices, and where runs of equal scores end."""

    weak: Numbers
    strong: Numbers
    last: npt.NDArray[np.intp]


def _sorted(scores: Sequence[float] | Numbers, weak: Numbers, strong: Numbers) -> _Sorted:
    found = np.asarray(scores, np.float64)
    order = np.argsort(-found, kind="stable")
    return _Sorted(weak[order], strong[order], np.append(np.flatnonzero(np.diff(found[order])), len(order) - 1))


def _drawn(questions: _Sorted, times: Numbers) -> Curve:
    """Return the curve where each question counts so many times. Raises `DataError` where there is no gap."""
    gain = times * (questions.strong - questions.weak)
    gap = float(gain.sum())
    if abs(gap) < 1e-9:
        raise DataError("weak and strong are right equally often, so there is no gap for a router to recover")
    calls = np.cumsum(times)[questions.last] / times.sum()
    return Curve(np.append(0.0, calls), np.append(0.0, np.cumsum(gain)[questions.last] / gap))


def threshold_for(scores: Sequence[float] | Numbers, share: float) -> float:
    """Return the threshold that sends `share` of the questions to the strong choice: the scores' (1 - share) quantile.

    Quantiles are numpy's linear ones. A share of 0 gives the least number above all scores.
    """
    found = np.asarray(scores, np.float64)
    if share <= 0:
        return float(np.nextafter(found.max(), math.inf))
    return float(np.quantile(found, 1 - share))


def bootstrap(
    measure: Callable[[Curve], float | None], scores: Numbers, weak: Numbers, strong: Numbers, seed: int = 0
) -> tuple[float, float] | None:
    """Return the 95 % percentile interval of a figure over resampled questions; None where it is not always there.

    Resamples without a gap are left out: on them nothing can be recovered.
    """
    return intervals({"it": measure}, scores, weak, strong, seed)["it"]


def intervals(
    measures: dict[str, Callable[[Curve], float | None]], scores: Numbers, weak: Numbers, strong: Numbers, seed: int = 0
) -> dict[str, tuple[float, float] | None]:
    """Return the 95 % percentile intervals of several figures, all from the same resampled questions."""
    dice = np.random.default_rng(seed)
    found: dict[str, list[float | None]] = {name: [] for name in measures}
    questions, count = _sorted(scores, weak, strong), len(weak)
    for _ in range(BOOTSTRAPS):
        # Counts of a resample, so that it need not be sorted again.
        times = np.bincount(dice.integers(0, count, count), minlength=count).astype(np.float64)
        try:
            drawn = _drawn(questions, times)
        except DataError:
            continue
        for name, measure in measures.items():
            found[name].append(measure(drawn))
    return {name: _bounds(values) for name, values in found.items()}


def _bounds(values: list[float | None]) -> tuple[float, float] | None:
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    low, high = np.quantile(known, [0.025, 0.975])
    return float(low), float(high)
