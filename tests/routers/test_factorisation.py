"""Matrix factorisation: the formula by hand, and questions it tells apart."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from support.arena import arena, outcomes
from support.routed import trained

from ponder.core.errors import DataError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.factorisation import Factorisation, Factors
from ponder.routers.state import State

ARRAYS = {
    "project": np.array([[2.0, 0.0], [0.0, 1.0]], np.float32),
    "bias": np.array([0.0, 1.0], np.float32),
    "last": np.array([1.0, 3.0], np.float32),
    "models": np.array([[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]], np.float32),
    "tiers": np.array([0.0, 1.0], np.float32),
}


def test_the_formula_by_hand() -> None:
    """W q + b = (1, 1.5); times w (1, 4.5); times v: 1 and 4.5, so the strong choice wins with logistic(3.5)."""
    found = Factors(State(Path("r"), ("weak", "strong"), {}, ARRAYS)).rate(np.array([0.5, 0.5], np.float32))
    assert found["strong"] == pytest.approx(1 / (1 + math.exp(-3.5)))
    assert sum(found.values()) == pytest.approx(1)


def test_choices_stand_for_their_tiers() -> None:
    arrays = {**ARRAYS, "tiers": np.array([1.0, 2.0], np.float32)}
    found = Factors(State(Path("r"), ("weak", "strong"), {}, arrays)).rate(np.array([0.5, 0.5], np.float32))
    assert found["strong"] == pytest.approx(1 / (1 + math.exp(4.5 - 4.2)))


@pytest.mark.parametrize(("name", "shape"), [("bias", (3,)), ("last", (1,)), ("models", (2, 5)), ("tiers", (3,))])
def test_arrays_that_do_not_fit_are_told(name: str, shape: tuple[int, ...]) -> None:
    arrays = {**ARRAYS, name: np.zeros(shape, np.float32)}
    with pytest.raises(DataError, match=f"'{name}' is of shape"):
        Factors(State(Path("r"), ("weak", "strong"), {}, arrays))


async def rate(path: str, text: str) -> dict[str, float]:
    return dict(await Factorisation(path).rate(Problem.of(text), Run(Echo())))


async def test_hard_questions_are_told_from_easy_ones(tmp_path: Path) -> None:
    path = trained("factorisation", outcomes(400), tmp_path / "r")
    easy, hard = await rate(path, "Please add the item 1."), await rate(path, "Please prove the item 1.")
    assert hard["strong"] > 0.7
    assert easy["strong"] < hard["strong"] - 0.2


async def test_preferences_tell_them_apart_as_well(tmp_path: Path) -> None:
    path = trained("factorisation", arena(2000), tmp_path / "r")
    easy, hard = await rate(path, "Please spell the item 1."), await rate(path, "Please derive the item 1.")
    assert hard["strong"] > 0.8
    assert easy["strong"] < hard["strong"]


async def test_of_several_choices_the_dearest_wins_hard_questions(tmp_path: Path) -> None:
    path = trained("factorisation", outcomes(600, models=3), tmp_path / "r")
    hard = await rate(path, "Please prove the item 1.")
    assert hard["m0"] < hard["m1"] < hard["m2"]
