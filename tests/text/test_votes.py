"""Classes of equal answers."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.votes import classes, exp_weights, rank_weights


def test_answers_are_grouped_in_the_order_in_which_they_first_stand() -> None:
    assert classes(["b", "a", "b", "c", "a"], str.__eq__) == [[0, 2], [1, 4], [3]]


def test_no_answer_is_in_no_class() -> None:
    assert classes([None, "a", None], str.__eq__) == [[1]]
    assert classes([None], str.__eq__) == []
    assert classes([], str.__eq__) == []


def test_answers_are_compared_with_the_first_of_each_class() -> None:
    asked: list[tuple[str, str]] = []

    def near(a: str, b: str) -> bool:
        asked.append((a, b))
        return abs(int(a) - int(b)) <= 1

    # 2 is near 1, and 3 near 2, yet not near the first of that class.
    assert classes(["1", "2", "3"], near) == [[0, 1], [2]]
    assert asked == [("1", "2"), ("1", "3")]


def test_borda_weights_golden() -> None:
    """Self-certainty's own example: answers x y x x z by confidence .2 .9 .5 .4 .6."""
    scores, answers = [0.2, 0.9, 0.5, 0.4, 0.6], "xyxxz"
    table = {0: (3, 1, 1), 0.5: (4.146, 2.236, 2.000), 1.2: (7.035, 6.899, 5.278), 2: (14, 25, 16)}
    for power, sums in table.items():
        weights = rank_weights(scores, power)
        found = [sum(w for w, a in zip(weights, answers, strict=True) if a == answer) for answer in "xyz"]
        assert found == pytest.approx(sums, abs=5e-4)


def test_equal_scores_have_equal_ranks() -> None:
    assert rank_weights([0.5, 0.5, 0.5]) == [2, 2, 2]
    assert rank_weights([1.0, 3.0, 1.0, -math.inf]) == [2.5, 4, 2.5, 1]
    assert rank_weights([]) == []


@given(st.lists(st.floats(-50, 50), min_size=1, max_size=9))
def test_ranks_do_not_see_a_change_of_scale(scores: list[float]) -> None:
    assert rank_weights([8 * score for score in scores]) == rank_weights(scores)


def test_exp_weights_take_any_scores() -> None:
    assert exp_weights([-1000.0, -1000.0 - math.log(2)]) == pytest.approx([1, 0.5])
    assert exp_weights([-math.inf, -3.0]) == [0, 1]
    assert exp_weights([math.inf, -3.0]) == [1, 0]
    assert exp_weights([-math.inf, -math.inf]) == [1, 1]
    assert exp_weights([]) == []
