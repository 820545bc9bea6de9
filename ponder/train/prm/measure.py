"""How well scores of steps tell good ones from bad: AUC with an interval over questions, and a reliability table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_DRAWS = 1000
_NONE = 1e-9
"""Pairs below this are what rounding leaves of none."""
BINS = 10


class Area(NamedTuple):
    """The chance that a good step scores above a bad one, ties counted half, with its 95 % interval."""

    auc: float
    low: float
    high: float


class Bin(NamedTuple):
    """The steps whose scores lie in one tenth: how many, their mean score, and the mean of what they are worth."""

    steps: int
    score: float
    value: float


class Calibration(NamedTuple):
    """The bins that hold steps, the expected calibration error, and the mean squared error (Brier)."""

    bins: tuple[Bin, ...]
    ece: float
    brier: float


def area(scores: Sequence[float], values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Area:
    """Return the AUC of scores. A step of value v is good to that part, and bad to the rest.

    The interval is a bootstrap over groups, which are questions: steps of one question resemble each other. 0.5 where
    all steps are good, or none.
    """
    said, good = np.asarray(scores, np.float64), np.asarray(values, np.float64)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    dice = np.random.default_rng(seed)

    def once(weight: Floats) -> float:
        wins, pairs = _won(said, good, weight)
        return wins / pairs if pairs > _NONE else 0.5

    if _won(said, good)[1] <= _NONE:
        return Area(0.5, 0.0, 1.0)
    drawn = [np.bincount(dice.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(_DRAWS)]
    found = [once(counts[group].astype(np.float64)) for counts in drawn]
    low, high = np.quantile(found, (0.025, 0.975))
    return Area(once(np.ones(len(good))), float(low), float(high))


def area_within(scores: Sequence[float], values: Sequence[float], groups: Sequence[str], seed: int = 0) -> Area:
    """Return the AUC among steps of one question each, which is what searches choose by; all pairs count alike.

    What merely tells hard questions from easy ones has 0.5.
    """
    said, good = np.asarray(scores, np.float64), np.asarray(values, np.float64)
    names, group = np.unique(np.asarray(groups), return_inverse=True)
    wins, pairs = np.zeros(len(names)), np.zeros(len(names))
    for number in range(len(names)):
        wins[number], pairs[number] = _won(said[group == number], good[group == number])
    if pairs.sum() <= _NONE:
        return Area(0.5, 0.0, 1.0)
    dice = np.random.default_rng(seed)
    drawn = np.array(
        [np.bincount(dice.integers(len(names), size=len(names)), minlength=len(names)) for _ in range(_DRAWS)]
    )
    total = drawn @ pairs
    found = (drawn @ wins)[total > _NONE] / total[total > _NONE]
    low, high = np.quantile(found, (0.025, 0.975))
    return Area(float(wins.sum() / pairs.sum()), float(low), float(high))


def _won(scores: Floats, good: Floats, weight: Floats | None = None) -> tuple[float, float]:
    """Return how many pairs of a good and a bad part the good one wins, ties counted half, and how many there are."""
    _, place = np.unique(scores, return_inverse=True)
    each = np.ones(len(good)) if weight is None else weight
    up, down = np.bincount(place, good * each), np.bincount(place, (1 - good) * each)
    below = np.cumsum(down) - down
    # The two parts of one step are no pair of steps.
    alone = float((each**2 * good * (1 - good)).sum())
    return float((up * (below + down / 2)).sum()) - alone / 2, float(up.sum() * down.sum()) - alone


def calibration(scores: Sequence[float], values: Sequence[float]) -> Calibration:
    """Return how far scores in 0 to 1 are what steps are worth, in tenths of the scale."""
    said, true = np.asarray(scores, np.float64), np.asarray(values, np.float64)
    place = np.minimum((said * BINS).astype(int), BINS - 1)
    bins = []
    for number in range(BINS):
        inside = place == number
        if inside.any():
            bins.append(Bin(int(inside.sum()), float(said[inside].mean()), float(true[inside].mean())))
    ece = sum(one.steps * abs(one.score - one.value) for one in bins) / max(1, len(said))
    return Calibration(tuple(bins), ece, float(np.mean((said - true) ** 2)) if len(said) else 0.0)
