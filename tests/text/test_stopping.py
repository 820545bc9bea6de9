"""When enough votes are in: exact values, worked out apart from this code."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.stopping import beta, confidence, dirichlet, expected_samples, settled


@pytest.mark.parametrize(
    ("first", "second", "value"),
    [
        (0, 0, 0.5), (1, 0, 0.75), (2, 0, 0.875), (3, 0, 0.9375), (4, 0, 0.96875), (3, 1, 0.8125), (4, 1, 0.890625),
        (5, 1, 0.9375), (6, 1, 0.96484375), (7, 2, 0.9453125), (8, 2, 0.96728515625),
    ],
)  # fmt: skip
def test_beta_golden(first: int, second: int, value: float) -> None:
    assert beta(first, second) == value


@given(st.integers(0, 20), st.integers(0, 20))
def test_beta_is_symmetric_and_grows_with_the_lead(first: int, second: int) -> None:
    assert beta(first, second) + beta(second, first) == pytest.approx(1)
    assert beta(first + 1, second) > beta(first, second)


def test_dirichlet_golden() -> None:
    assert dirichlet([3, 2, 1]) == pytest.approx(13591 / 23328, abs=1e-9)
    assert dirichlet([6, 1, 1]) == pytest.approx(2355973 / 2519424, abs=1e-9)
    assert dirichlet([6, 1, 1]) < 0.95 < beta(6, 1), "the two rules disagree about stopping"


@pytest.mark.parametrize("counts", [[1, 1, 1], [3, 2, 1], [9, 4, 4, 2], [20, 8, 7, 3, 2], [5, 5, 5, 5, 5]])
def test_dirichlet_is_what_a_simulation_gives(counts: list[int]) -> None:
    rng = random.Random(0)
    wins, draws = 0, 20_000
    for _ in range(draws):
        first, *others = (rng.gammavariate(count + 1, 1) for count in counts)
        wins += first > max(others)
    assert dirichlet(counts) == pytest.approx(wins / draws, abs=0.015)


@given(st.integers(1, 300), st.integers(1, 300))
def test_over_two_answers_both_rules_are_one(first: int, second: int) -> None:
    assert dirichlet([first, second]) == pytest.approx(beta(first, second), abs=1e-4)


def test_equal_counts_leave_each_answer_the_same_chance() -> None:
    for answers in (2, 3, 4, 5):
        assert dirichlet([7] * answers) == pytest.approx(1 / answers, abs=1e-7)


def test_confidence_takes_counts_in_any_order() -> None:
    assert confidence([], "beta") == 0
    assert confidence([4], "dirichlet") == 0.96875
    assert confidence([1, 6], "dirichlet") == beta(6, 1), "fewer than three answers"
    assert confidence([1, 3, 2], "beta") == 0.65625
    assert confidence([1, 3, 2], "dirichlet") == pytest.approx(0.5826, abs=5e-5)
    assert confidence([9, 1, 1, 1, 1, 1], "dirichlet") == confidence([9, 1, 1, 1, 1], "dirichlet"), "the five leading"


@pytest.mark.parametrize(
    ("counts", "left", "over"),
    [([3], 2, True), ([3], 3, False), ([3, 1], 1, True), ([3, 1], 2, False), ([1, 3], 1, True), ([], 0, False)],
)
def test_a_leader_that_cannot_be_caught(counts: list[int], left: int, over: bool) -> None:
    assert settled(counts, left) is over


@pytest.mark.parametrize(
    ("shares", "value"), [((0.9, 0.1), 8.4607), ((0.6, 0.3, 0.1), 30.40), ((1.0,), 5.0)]
)  # fmt: skip
def test_expected_samples_golden(shares: tuple[float, ...], value: float) -> None:
    assert expected_samples(shares, 5, 40) == pytest.approx(value, abs=5e-3)


def test_expected_samples_at_the_ends() -> None:
    assert expected_samples((0.5, 0.5), 1, 40) == 1
    assert expected_samples((0.5, 0.5), 40, 40) == 40
