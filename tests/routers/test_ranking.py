"""Similarity-weighted ranking: the notes' weights, closed form and fit, and questions it tells apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.arena import arena, outcomes
from support.routed import trained

from ponder.core.errors import DataError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.compared import bradley_terry
from ponder.routers.ranking import Known, Ranking, weights
from ponder.routers.state import State, load_state
from ponder.train.routers.table import Table


def test_the_worked_weights() -> None:
    found = weights(np.array([0.9, 0.6, 0.3], np.float32))
    assert found == pytest.approx([100, 46.416, 21.544], abs=2e-3)


def test_without_any_likeness_all_count_alike() -> None:
    for similarities in ([0.0, 0.0], [-0.5, -0.1]):
        assert len(set(weights(np.array(similarities, np.float32)).tolist())) == 1


def known(success: list[list[float]], vectors: list[list[float]]) -> Known:
    arrays = {"vectors": np.array(vectors, np.float32), "success": np.array(success, np.float32)}
    return Known(State(Path("r"), ("weak", "strong"), {}, arrays))


def test_outcomes_are_averaged_by_weight() -> None:
    found = known([[1, 1], [0, 1]], [[1, 0], [0, 1]]).rate(np.array([1, 0], np.float32))
    # Weights 100 and 10.
    assert found == pytest.approx({"weak": 100 / 110, "strong": 1.0})


def test_of_two_choices_the_score_is_bradley_and_terrys_maximum() -> None:
    dice = np.random.default_rng(0)
    success = (dice.random((50, 2)) < [0.5, 0.8]).astype(float)
    vectors = dice.normal(size=(50, 4)).astype(np.float32)
    asked = dice.normal(size=4).astype(np.float32)
    found = known(success.tolist(), vectors.tolist()).rate(asked)
    weight = weights(vectors @ asked)
    won = float(weight @ (1 + success[:, 1] - success[:, 0]) / 2)
    weak, strong = bradley_terry(np.array([[0.0, weight.sum() - won], [won, 0.0]]))
    expected = 1 / (1 + np.exp(weak - strong))
    assert (1 + found["strong"] - found["weak"]) / 2 == pytest.approx(expected, abs=1e-4)


async def rate(path: str, text: str) -> dict[str, float]:
    return dict(await Ranking(path).rate(Problem.of(text), Run(Echo())))


async def test_hard_questions_are_told_from_easy_ones(tmp_path: Path) -> None:
    path = trained("ranking", outcomes(300), tmp_path / "r")
    easy, hard = await rate(path, "Please add the item 1."), await rate(path, "Please prove the item 1.")
    assert hard["strong"] - hard["weak"] > easy["strong"] - easy["weak"] + 0.1
    assert all(0 <= rating <= 1 for rating in (*easy.values(), *hard.values()))


async def test_preferences_tell_them_apart_as_well(tmp_path: Path) -> None:
    path = trained("ranking", arena(2000), tmp_path / "r")
    easy, hard = await rate(path, "Please spell the item 1."), await rate(path, "Please derive the item 1.")
    assert hard["strong"] > easy["strong"] > 0.5
    assert hard["strong"] + hard["weak"] == pytest.approx(1)


async def test_several_choices_and_an_empty_question(tmp_path: Path) -> None:
    path = trained("ranking", outcomes(200, models=3), tmp_path / "r")
    assert list(await rate(path, "")) == ["m0", "m1", "m2"]


async def test_another_kind_of_file_is_told(tmp_path: Path) -> None:
    path = trained("factorisation", outcomes(50), tmp_path / "r")
    with pytest.raises(DataError, match="router = 'factorisation' where ranking was asked for"):
        await rate(path, "q")


async def test_no_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="path takes the folder"):
        await rate(str(tmp_path), "q")


@pytest.mark.parametrize("table", [outcomes(60), arena(400)], ids=["outcomes", "preferences"])
def test_several_questions_at_once_are_rated_as_one_by_one(tmp_path: Path, table: Table) -> None:
    found = Known(load_state(Path(trained("ranking", table, tmp_path / "r", places=32)), "ranking"))
    asked = np.random.default_rng(0).normal(size=(5, 32)).astype(np.float32)
    for one, both in zip([found.rate(vector) for vector in asked], found.rate_all(asked), strict=True):
        assert one == pytest.approx(both, abs=1e-5)
