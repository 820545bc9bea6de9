"""L-BFGS finds known minima, and never ends above where it began."""

from __future__ import annotations

import numpy as np
import pytest

from ponder.train.routers.minimise import Vector, minimise


def test_a_bowl_with_very_different_widths() -> None:
    scales = np.array([1.0, 100.0, 10_000.0])
    goal = np.array([3.0, -2.0, 0.5])

    def bowl(x: Vector) -> tuple[float, Vector]:
        return float((scales * (x - goal) ** 2).sum() / 2), scales * (x - goal)

    assert minimise(bowl, np.zeros(3)) == pytest.approx(goal, abs=1e-4)


def test_a_bent_valley() -> None:
    def valley(p: Vector) -> tuple[float, Vector]:
        x, y = p
        slope = np.array([-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)])
        return float(100 * (y - x * x) ** 2 + (1 - x) ** 2), slope

    assert minimise(valley, np.array([-1.2, 1.0])) == pytest.approx([1, 1], abs=1e-3)


def test_at_the_minimum_it_stays() -> None:
    start = np.zeros(2)
    found = minimise(lambda x: (float(x @ x), 2 * x), start)
    assert found.tolist() == [0, 0]
    assert found is not start


def test_it_never_ends_above_its_start() -> None:
    def rough(x: Vector) -> tuple[float, Vector]:
        return float(np.sin(5 * x).sum() + (x @ x) / 10), 5 * np.cos(5 * x) + x / 5

    for seed in range(10):
        start = np.random.default_rng(seed).normal(0, 3, 4)
        found = minimise(rough, start, steps=5)
        assert rough(found)[0] <= rough(start)[0]


def test_a_false_slope_ends_the_search() -> None:
    """A slope that points uphill leaves nothing lower to find: the start comes back, not an endless loop."""
    start = np.array([1.0])
    assert minimise(lambda x: (float(x @ x), -2 * x), start).tolist() == [1.0]
