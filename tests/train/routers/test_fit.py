"""Fits: what each kind takes from a table, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from support.arena import arena, outcomes

from ponder.core.errors import DataError
from ponder.train.routers.factors import _objective, _Shape, fit_factors
from ponder.train.routers.fit import Settings, _as_battles, _classes, fit
from ponder.train.routers.head import best_fit, fit_head, softmax_fit
from ponder.train.routers.minimise import Vector
from ponder.train.routers.table import Battles, Indices, Table
from ponder.weights.tensors import Array

NOTHING: Array = np.zeros((0, 0), np.float32)


def vectors(rows: int, width: int = 4, seed: int = 0) -> Array:
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def test_outcomes_become_comparisons_of_every_two_choices() -> None:
    battles, rows = _as_battles(("a", "b", "c"), np.array([[1.0, 0, 1], [0, 1, 1]]))
    assert battles.models == ("a", "b", "c")
    found = {
        (int(row), int(second), int(first)): float(won)
        for row, second, first, won in zip(rows, battles.second, battles.first, battles.won, strict=True)
    }
    assert found == {
        (0, 0, 1): 0.0, (0, 0, 2): 0.5, (0, 1, 2): 1.0,
        (1, 0, 1): 1.0, (1, 0, 2): 1.0, (1, 1, 2): 0.5,
    }  # fmt: skip


def test_classes_of_outcomes_and_of_comparisons() -> None:
    success = np.array([[0.0, 1], [1, 1], [0, 0], [1, 0]])
    assert _classes(Table(("weak", "strong"), (), success=success)).tolist() == [0, 1, 1, 2]
    battles = Battles(("t0", "t1"), np.array([1, 1, 1, 0, 0]), np.array([0, 0, 0, 1, 1]), np.array([1, 0.5, 0, 1, 0]))
    assert _classes(Table(("weak", "strong"), (), battles=battles)).tolist() == [0, 1, 2, 2, 0]


def test_comparisons_within_a_tier_are_left_out() -> None:
    table = arena(400)
    _, arrays = fit("ranking", table, vectors(400), Settings(tiers=3))
    assert (arrays["first"] != arrays["second"]).all()
    assert len(arrays["vectors"]) == len(arrays["won"]) < 400
    assert set(arrays["first"].tolist()) <= {0, 1, 2}
    assert arrays["tiers"][0] < arrays["tiers"][1]


def test_what_cannot_be_learnt_is_told() -> None:
    with pytest.raises(DataError, match="tells two choices apart, not 3; take factorisation"):
        fit("encoder", outcomes(30, models=3), vectors(30), Settings())
    with pytest.raises(DataError, match="with a column of categories; name it with --group"):
        fit("category", arena(30), NOTHING, Settings())


def test_the_slope_of_the_factors_is_the_slope_of_their_loss() -> None:
    dice = np.random.default_rng(0)
    shape = _Shape(3, 2, 4)
    battles = Battles(tuple("abcd"), dice.integers(0, 4, 9), dice.integers(0, 4, 9), dice.random(9))
    seen = vectors(9, 3)
    point = dice.normal(size=3 * 2 + 2 + 2 + 4 * 2)
    _, slope = _objective(point, shape, battles, seen, 0.1)
    for place in range(len(point)):
        step = np.zeros(len(point))
        step[place] = 1e-3
        up, down = (_objective(point + sign * step, shape, battles, seen, 0.1)[0] for sign in (1, -1))
        assert (up - down) / 2e-3 == pytest.approx(slope[place], abs=2e-4)


def test_factors_find_who_wins_where() -> None:
    seen = vectors(600)
    battles = Battles(("a", "b"), np.ones(600, int), np.zeros(600, int), (seen[:, 0] > 0).astype(float))
    found = fit_factors(battles, seen, rank=4, seed=0)
    assert np.linalg.norm(found["models"], axis=1) == pytest.approx([1, 1])
    inner = (seen @ found["project"] + found["bias"]) * found["last"]
    scores = inner @ (found["models"][1] - found["models"][0])
    assert ((scores > 0) == (seen[:, 0] > 0)).mean() > 0.95


def test_the_same_seed_fits_the_same_factors() -> None:
    seen = vectors(60)
    battles = Battles(("a", "b"), np.ones(60, int), np.zeros(60, int), (seen[:, 0] > 0).astype(float))
    first, second = (fit_factors(battles, seen, rank=2, seed=3) for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)


def test_a_head_learns_shares_where_vectors_tell_nothing() -> None:
    classes = np.array([0] * 50 + [1] * 30 + [2] * 20)
    point = softmax_fit(np.zeros((100, 2), np.float32), classes, 0.1, np.zeros(9))
    share = np.exp(point[:3]) / np.exp(point[:3]).sum()
    assert share == pytest.approx([0.5, 0.3, 0.2], abs=1e-3)
    assert point[3:] == pytest.approx(np.zeros(6))


def test_a_head_finds_the_class_of_a_vector() -> None:
    seen = vectors(500, 3)
    classes = seen.argmax(axis=1)
    weights, bias = fit_head(seen, classes, seed=0)
    assert ((seen @ weights + bias).argmax(axis=1) == classes).mean() > 0.9


@pytest.mark.parametrize(("goal", "chosen"), [(0.01, 0.01), (5.0, 0.1), (0.0, 0.0001)])
def test_the_penalty_with_the_least_loss_on_other_rows_is_chosen(goal: float, chosen: float) -> None:
    learnt: list[set[int]] = []

    def fit(rows: Indices, decay: float, start: Vector) -> Vector:
        learnt.append(set(rows.tolist()))
        return np.array([decay])

    def loss(point: Vector, rows: Indices) -> float:
        assert learnt[-1].isdisjoint(rows.tolist())
        assert len(rows) == 10
        return abs(float(point[0]) - goal)

    assert best_fit(50, np.zeros(1), fit, loss, 0).tolist() == [chosen]
    assert learnt[-1] == set(range(50))
    assert all(len(rows) == 40 for rows in learnt[:-1])
