"""A threshold for a share of strong calls, by the rule that serves, of two choices or of several (2406.18665)."""

from __future__ import annotations

import numpy as np

from ponder.train.routers.curve import threshold_for
from ponder.train.routers.table import Indices, Numbers

TRIED = 2000
"""Thresholds that are looked at, at most."""


def taken(ratings: Numbers, threshold: float) -> Indices:
    """Return the place of the choice that each question goes to.

    `ratings` are (questions, choices), the cheapest first. This is what `steer.route.decide` does question by
    question: each dearer choice is compared with the one that has it.
    """
    everyone = np.arange(len(ratings))
    place = np.zeros(len(ratings), np.intp)
    for dearer in range(1, ratings.shape[1]):
        gain = (1 + (ratings[:, dearer] - ratings[everyone, place])) / 2
        place[gain >= threshold] = dearer
    return place


def threshold_of_share(ratings: Numbers, share: float) -> float:
    """Return the threshold that sends about `share` of the questions to the dearest choice.

    Of two choices that is a quantile of the scores. Of more it is looked for: a choice between that takes a question
    over may keep it, so a higher threshold may even send more of them to the dearest. Of equally good thresholds the
    highest is taken, for it costs least.
    """
    if ratings.shape[1] == 2:
        return threshold_for((1 + (ratings[:, 1] - ratings[:, 0])) / 2, share)
    gains = _gains(ratings)
    if len(gains) > TRIED:
        gains = np.unique(np.quantile(gains, np.linspace(0, 1, TRIED), method="nearest"))
    tried: list[float] = [0.0, *gains.tolist(), float(np.nextafter(gains[-1], np.inf))]
    return min(tried, key=lambda one: (abs(shares(ratings, one)[-1] - share), -one))


def shares(ratings: Numbers, threshold: float) -> list[float]:
    """Return which share of the questions each choice gets at a threshold."""
    counts = np.bincount(taken(ratings, threshold), minlength=ratings.shape[1])
    return [float(count) / len(ratings) for count in counts]


def _gains(ratings: Numbers) -> Numbers:
    """Return every number that a threshold can be compared with, in order and once each."""
    found = [
        (1 + (ratings[:, dearer] - ratings[:, cheaper])) / 2
        for dearer in range(1, ratings.shape[1])
        for cheaper in range(dearer)
    ]
    return np.unique(np.concatenate(found))
