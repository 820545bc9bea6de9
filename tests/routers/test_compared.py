"""Abilities from comparisons."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ponder.routers.compared import bradley_terry, elo, logistic, win_rates


def test_two_players_have_the_odds_of_their_wins() -> None:
    strong, weak = bradley_terry(np.array([[0.0, 300.0], [100.0, 0.0]]))
    assert strong - weak == pytest.approx(math.log(3), abs=1e-3)
    assert strong + weak == pytest.approx(0)


def test_the_notes_elo() -> None:
    chance = 1 / (1 + math.exp(-(1250 - 1114) * math.log(10) / 400))
    assert chance == pytest.approx(0.6863, abs=5e-5)
    assert elo(math.log(chance / (1 - chance))) == pytest.approx(136)


def test_abilities_are_found_again() -> None:
    truth = np.array([-1.0, -0.25, 0.25, 1.0])
    wins = 1e4 / (1 + np.exp(truth[None, :] - truth[:, None]))
    np.fill_diagonal(wins, 0)
    assert bradley_terry(wins) == pytest.approx(truth, abs=1e-3)


def test_who_never_lost_has_an_ability_all_the_same() -> None:
    found = bradley_terry(np.array([[0.0, 5.0], [0.0, 0.0]]))
    assert np.isfinite(found).all()
    assert found[0] > 1


def test_who_never_played_stands_in_the_middle_of_nothing() -> None:
    wins = np.zeros((3, 3))
    wins[0, 1], wins[1, 0] = 3, 1
    found = bradley_terry(wins)
    assert np.isfinite(found).all()
    assert found[1] < found[2] < found[0]


def test_comparisons_with_oneself_change_nothing() -> None:
    wins = np.array([[0.0, 3.0], [1.0, 0.0]])
    assert bradley_terry(wins + np.diag([7.0, 2.0])) == pytest.approx(bradley_terry(wins))


def test_two_win_rates_add_up_to_one() -> None:
    rates = win_rates(("weak", "strong"), np.array([0.0, math.log(3)]))
    assert rates == pytest.approx({"weak": 0.25, "strong": 0.75})


def test_three_win_rates_are_means_over_the_others() -> None:
    rates = win_rates(("a", "b", "c"), np.array([0.0, 0.0, math.log(3)]))
    assert rates == pytest.approx({"a": (0.5 + 0.25) / 2, "b": (0.5 + 0.25) / 2, "c": 0.75})


def test_the_logistic_of_any_number_is_a_share() -> None:
    found = logistic(np.array([-1e6, -1.0, 0.0, 1.0, 1e6]))
    assert found == pytest.approx([0, 1 / (1 + math.e), 0.5, 1 / (1 + math.exp(-1)), 1])
