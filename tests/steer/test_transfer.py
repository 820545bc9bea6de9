"""Calibrations on other tasks: the histogram they are drawn by, and what they foretell of the one left out."""

from __future__ import annotations

from math import inf

import pytest

from ponder.core.errors import DataError
from ponder.steer.transfer import Answered, Transfer

THREE = Answered(
    ("a",) * 4 + ("b",) * 4 + ("c",) * 2,
    (0.1, 0.2, 0.3, 0.4, 0.2, 0.4, 0.6, 0.8, 0.5, 0.9),
    (0, 1, 0, 1, 0, 0, 1, 1, 0, 1),
    (1, 1, 0, 1, 1, 0, 1, 1, 1, 1),
)


def test_a_calibration_holds_the_tasks_that_are_not_kept_apart() -> None:
    found = THREE.calibration({"model": "m"}, apart={"a", "c"})
    assert (found.scores, found.weak, found.strong) == ((0.2, 0.4, 0.6, 0.8), (0, 0, 1, 1), (1, 0, 1, 1))
    assert found.names == {"model": "m"}
    assert len(THREE.calibration({}).scores) == 10
    with pytest.raises(DataError, match="no scored question is left"):
        THREE.calibration({}, apart={"a", "b", "c"})


def test_a_small_set_has_the_histogram_of_the_pool() -> None:
    scores = tuple([0.05] * 60 + [0.55] * 30 + [0.95] * 10)
    found = Answered(("a",) * 100, scores, (1,) * 100).calibration({}, draw=10)
    assert [found.scores.count(score) for score in (0.05, 0.55, 0.95)] == [6, 3, 1]


def test_each_task_is_told_from_the_others_alone() -> None:
    first, second, third = THREE.transfers(0.5)
    # Of b and c, the scores 0.2 0.4 0.5 | 0.6 0.8 0.9: below 0.55 lies half, and sent on 0.2 and 0.5 become right.
    assert first == Transfer("a", 4, 0.55, 1.0, pytest.approx(5 / 6), 0.75, 0.75)
    # Of a and c: 0.1 0.2 0.3 | 0.4 0.5 0.9; sent on are 0.2 of b, and right become 0.2 by the strong, 0.6 and 0.8.
    assert (second.threshold, second.share, second.accuracy, second.auc) == (pytest.approx(0.35), 0.25, 0.75, 1.0)
    assert second.foretold == pytest.approx((1 + 1 + 0 + 1 + 0 + 1) / 6)
    assert (third.task, third.questions) == ("c", 2)


def test_one_task_has_no_others() -> None:
    assert Answered(("a",) * 3, (0.1, 0.2, 0.3), (0, 1, 1)).transfers(0.5) == []


def test_without_a_strong_way_a_share_is_all_that_can_be_told() -> None:
    found = Answered(("a", "b", "b"), (-inf, -0.2, -0.1), (0, 1, 1)).calibration({})
    assert (found.strong, found.threshold(1 / 3)) == ((), -0.2)
