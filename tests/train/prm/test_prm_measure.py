"""AUC and calibration by hand."""

from __future__ import annotations

import random

import pytest

from ponder.steer.calibration import auc
from ponder.train.prm.measure import Area, Bin, area, area_within, calibration


def test_the_area_by_hand() -> None:
    """Good 0.9 and 0.4, bad 0.4 and 0.1: pairs won 1, 1, 0.5 and 1 of 4."""
    found = area([0.9, 0.4, 0.4, 0.1], [1, 1, 0, 0], ["a", "b", "a", "b"])
    assert found.auc == pytest.approx(3.5 / 4)
    assert 0 <= found.low <= found.auc <= found.high <= 1


def test_it_is_the_area_that_others_compute() -> None:
    dice = random.Random(3)
    scores = [dice.choice([0.1, 0.2, 0.5, dice.random()]) for _ in range(300)]
    values = [int(dice.random() < score) for score in scores]
    assert area(scores, values, ["q"] * 300).auc == pytest.approx(auc(scores, values))


def test_half_a_value_counts_half_on_either_side() -> None:
    """The good part of one step is compared with the bad part of the other, and with that of no step with itself."""
    assert area([0.9, 0.1], [0.6, 0.4], ["a", "b"]).auc == pytest.approx(0.6 * 0.6 / (0.6 * 0.6 + 0.4 * 0.4))
    assert area([0.9, 0.1], [0.5, 0.0], ["a", "b"]).auc == 1
    assert area([0.7, 0.7], [0.6, 0.4], ["a", "b"]).auc == 0.5
    assert area([0.7], [0.5], ["a"]) == Area(0.5, 0.0, 1.0)


def test_steps_of_one_question_are_no_independent_evidence() -> None:
    dice = random.Random(5)
    scores = [dice.random() for _ in range(400)]
    values = [int(dice.random() < 0.5) for _ in range(400)]
    many = area(scores, values, [str(n) for n in range(400)])
    few = area(scores * 10, values * 10, [str(n % 400) for n in range(4000)])
    assert many.high - many.low == pytest.approx(few.high - few.low, rel=0.15)
    assert many.low < 0.5 < many.high


@pytest.mark.parametrize("values", [[1, 1], [0, 0], []])
def test_where_all_are_good_or_none_nothing_is_told(values: list[int]) -> None:
    assert area([0.5] * len(values), values, ["a"] * len(values)).auc == 0.5


def test_equal_seeds_give_equal_intervals() -> None:
    args = ([0.2, 0.7, 0.4, 0.9], [0, 1, 1, 0], ["a", "b", "c", "d"])
    assert area(*args, 1) == area(*args, 1)


def test_a_reliability_table_by_hand() -> None:
    """Two steps in the first tenth, one of them good; one at 1.0, which the last tenth holds."""
    found = calibration([0.02, 0.08, 1.0], [0, 1, 1])
    assert found.bins == (Bin(2, pytest.approx(0.05), 0.5), Bin(1, 1.0, 1.0))  # type: ignore[arg-type]
    assert found.ece == pytest.approx(2 / 3 * 0.45)
    assert found.brier == pytest.approx((0.02**2 + 0.92**2) / 3)


def test_scores_that_can_be_taken_at_their_word_have_no_error() -> None:
    assert calibration([0.25] * 4, [0, 0, 0, 1]).ece == pytest.approx(0.0)
    assert calibration([], []).bins == ()


def test_within_questions_what_tells_hard_ones_from_easy_ones_says_nothing() -> None:
    """Question b is all bad and scored low: no pair of its own. In a, 0.8 beats 0.7 and ties with 0.8."""
    scores, values, keys = [0.8, 0.7, 0.8, 0.1, 0.2], [1, 0, 0, 0, 0], ["a", "a", "a", "b", "b"]
    found = area_within(scores, values, keys)
    assert found.auc == pytest.approx(0.75)
    assert found.low == found.high == pytest.approx(0.75)
    assert area(scores, values, keys).auc == pytest.approx(3.5 / 4)
    by_question = area_within([0.9] * 3 + [0.1] * 3, [1, 1, 0, 1, 0, 0], ["a"] * 3 + ["b"] * 3)
    assert by_question.auc == 0.5


def test_of_one_question_both_are_the_same() -> None:
    dice = random.Random(2)
    scores = [dice.random() for _ in range(50)]
    values = [dice.random() for _ in range(50)]
    assert area_within(scores, values, ["q"] * 50).auc == pytest.approx(area(scores, values, ["q"] * 50).auc)
    assert area_within([], [], []).auc == 0.5
