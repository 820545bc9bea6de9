"""Curves of routers: the notes' worked numbers, ties, and what chance and an oracle get."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import DataError
from ponder.train.routers.curve import bootstrap, curve, intervals, threshold_for

WEAK = np.array([float(digit) for digit in "1110010010"])
STRONG = np.array([float(digit) for digit in "1111111011"])
SCORES = np.array([0.05, 0.1, 0.15, 0.6, 0.9, 0.2, 0.8, 0.55, 0.3, 0.4])


def test_the_worked_curve() -> None:
    found = curve(SCORES, WEAK, STRONG)
    assert found.calls == pytest.approx(np.arange(11) / 10)
    assert found.recovered == pytest.approx([0, 0.25, 0.5, 0.75, 0.75, 1, 1, 1, 1, 1, 1])
    assert found.apgr == pytest.approx(0.775)
    assert found.apgr_ten == pytest.approx(0.825)
    assert found.cpt(0.5) == pytest.approx(0.2)
    assert found.cpt(0.8) == pytest.approx(0.5)


def test_a_threshold_for_three_in_ten() -> None:
    threshold = threshold_for(SCORES, 0.3)
    assert threshold == pytest.approx(0.565)
    assert (threshold <= SCORES).sum() == 3


def test_shares_of_nothing_and_of_all() -> None:
    assert (threshold_for(SCORES, 0) <= SCORES).sum() == 0
    assert (threshold_for(SCORES, 1) <= SCORES).all()


def test_a_constant_router_is_a_straight_line() -> None:
    found = curve(np.zeros(10), WEAK, STRONG)
    assert (found.calls.tolist(), found.recovered.tolist()) == ([0, 1], [0, 1])
    assert (found.apgr, found.cpt(0.5)) == (0.5, 1.0)
    assert found.apgr_ten == pytest.approx(0.55)


def test_an_oracle_recovers_more_than_the_gap_where_the_weak_choice_is_sometimes_better() -> None:
    weak, strong = np.array([0.0, 0, 1, 1]), np.array([1.0, 1, 1, 0])
    found = curve(strong - weak, weak, strong)
    assert found.recovered.tolist() == [0, 2, 2, 1]
    assert found.cpt(1.5) == 0.5


def test_a_share_that_no_threshold_reaches_is_none() -> None:
    found = curve(SCORES, WEAK, STRONG)
    assert found.cpt(1.01) is None
    assert bootstrap(lambda drawn: drawn.cpt(5.0), SCORES, WEAK, STRONG) is None


def test_no_gap_is_refused() -> None:
    with pytest.raises(DataError, match="no gap for a router to recover"):
        curve(SCORES, STRONG, STRONG)


def test_random_routing_has_one_half_and_its_interval_holds_it() -> None:
    dice = np.random.default_rng(1)
    weak, strong = (dice.random((2, 2000)) < [[0.6], [0.85]]).astype(float)
    found = intervals({"apgr": lambda drawn: drawn.apgr}, dice.random(2000), weak, strong)["apgr"]
    assert found is not None
    assert found[0] < 0.5 < found[1]
    assert found[1] - found[0] < 0.2


def test_intervals_are_the_same_each_time() -> None:
    first, second = (bootstrap(lambda drawn: drawn.apgr, SCORES, WEAK, STRONG, seed=3) for _ in range(2))
    assert first == second


@given(st.lists(st.integers(0, 3), min_size=2, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_questions_makes_no_difference(scores: list[int], dice: object) -> None:
    count = len(scores)
    weak = np.array([float(i % 3 == 0) for i in range(count)])
    strong = np.ones(count)
    shuffled = np.random.default_rng(count).permutation(count)
    values = np.array(scores, float)
    first = curve(values, weak, strong)
    second = curve(values[shuffled], weak[shuffled], strong[shuffled])
    assert first.apgr == pytest.approx(second.apgr)
    assert first.calls == pytest.approx(second.calls)
