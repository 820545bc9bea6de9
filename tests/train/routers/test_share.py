"""The threshold for a share of strong calls: a quantile of two choices, else what the rule that serves makes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from ponder.core.engine import Cap
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.steer.route import decide
from ponder.train.routers.curve import threshold_for
from ponder.train.routers.share import TRIED, shares, taken, threshold_of_share

NAMES = ("weak", "mid", "strong")


@dataclass(frozen=True)
class Told:
    """A router that says what it was told."""

    ratings: tuple[float, ...]

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing."""
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Return the ratings."""
        return dict(zip(NAMES, self.ratings, strict=True))


async def test_the_rule_is_the_one_that_serves() -> None:
    ratings = np.random.default_rng(0).random((60, 3)).round(2)
    for threshold in (0.0, 0.5, 0.55, 0.62, 0.9, 1.0):
        found = taken(ratings, threshold)
        for row, place in zip(ratings.tolist(), found.tolist(), strict=True):
            served = await decide(Told(tuple(row)), NAMES, threshold, "weak", Problem.of("?"), Run(Echo()))
            assert served.place == place


def test_of_two_choices_it_is_the_quantile_of_the_scores() -> None:
    scores = np.array([0.05, 0.1, 0.15, 0.6, 0.9, 0.2, 0.8, 0.55, 0.3, 0.4])
    ratings = np.column_stack([1 - scores, scores])
    assert threshold_of_share(ratings, 0.3) == pytest.approx(0.565) == threshold_for(scores, 0.3)
    assert shares(ratings, 0.565) == [0.7, 0.3]


def test_a_choice_between_may_keep_what_it_takes() -> None:
    """A gain of 0.7 to the middle and of 0.525 from there: only a threshold above 0.7 leads past the middle."""
    ratings = np.array([[0.2, 0.6, 0.65]])
    assert [taken(ratings, one)[0] for one in (0.5, 0.525, 0.6, 0.7, 0.71, 0.725, 0.73)] == [2, 2, 1, 1, 2, 2, 0]
    assert threshold_of_share(ratings, 1.0) == 0.725
    assert threshold_of_share(ratings, 0.0) > 0.725


@pytest.mark.parametrize("share", [0.0, 0.1, 0.3, 0.5, 0.8, 1.0])
@pytest.mark.parametrize("choices", [3, 5])
@pytest.mark.parametrize("rows", [40, 4000])
def test_the_threshold_sends_the_share(share: float, choices: int, rows: int) -> None:
    ratings = np.random.default_rng(choices).random((rows, choices))
    sent = shares(ratings, threshold_of_share(ratings, share))
    assert sum(sent) == pytest.approx(1)
    assert sent[-1] == pytest.approx(share, abs=max(2 / rows, 3 * choices / TRIED))


def test_a_bound_by_the_last_against_the_first_would_miss_it() -> None:
    """What the quantile of the last against the first sends is less, for the middle keeps a part."""
    ratings = np.random.default_rng(1).random((500, 3))
    quantile = threshold_for((1 + ratings[:, 2] - ratings[:, 0]) / 2, 0.4)
    assert shares(ratings, quantile)[-1] < 0.36
    assert shares(ratings, threshold_of_share(ratings, 0.4))[-1] == pytest.approx(0.4, abs=0.004)


def test_questions_of_equal_ratings_are_never_parted() -> None:
    ratings = np.repeat([[0.2, 0.5, 0.9], [0.5, 0.5, 0.5]], [6, 4], axis=0)
    assert shares(ratings, threshold_of_share(ratings, 0.5)) == [0.4, 0.0, 0.6]
    assert shares(ratings, threshold_of_share(ratings, 0.1))[-1] == 0.0
