"""Category: shares drawn to the overall one, by the problem's meta."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ponder.core.errors import DataError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.category import CategoryRouter
from ponder.routers.state import save_state
from ponder.train.routers.fit import Settings
from ponder.train.routers.table import Table
from ponder.train.routers.train import store

SUCCESS = np.array([[1, 1]] * 20 + [[0, 1]] * 20 + [[1, 0]] * 2, float)
TABLE = Table(("weak", "strong"), (), ("law",) * 20 + ("maths",) * 20 + ("art",) * 2, success=SUCCESS)


async def rate(router: CategoryRouter, **meta: str) -> dict[str, float]:
    return dict(await router.rate(Problem("q", (), meta=meta), Run(Echo())))


@pytest.fixture
def path(tmp_path: Path) -> str:
    store("category", TABLE, None, tmp_path / "r", Settings(), "topic")
    return str(tmp_path / "r")


async def test_a_category_counts_beside_twenty_questions_of_all_kinds(path: str) -> None:
    weak, strong = 22 / 42, 40 / 42
    assert await rate(CategoryRouter(path), topic="law") == pytest.approx(
        {"weak": (20 + 20 * weak) / 40, "strong": (20 + 20 * strong) / 40}
    )
    assert await rate(CategoryRouter(path), topic="art") == pytest.approx(
        {"weak": (2 + 20 * weak) / 22, "strong": 20 * strong / 22}
    )


async def test_an_unknown_or_missing_category_has_the_overall_share(path: str) -> None:
    overall = pytest.approx({"weak": 22 / 42, "strong": 40 / 42})
    assert await rate(CategoryRouter(path), topic="cooking") == overall
    assert await rate(CategoryRouter(path)) == overall


async def test_another_entry_of_meta_may_name_the_category(path: str) -> None:
    assert await rate(CategoryRouter(path, "subject"), subject="law") == await rate(CategoryRouter(path), topic="law")


async def test_shares_that_do_not_fit_their_names_are_told(tmp_path: Path) -> None:
    arrays = {"shares": np.zeros((1, 2), np.float32), "overall": np.zeros(2, np.float32)}
    save_state(tmp_path / "r", "category", ("a", "b"), {"field": "x", "categories": ["one", "two"]}, arrays)
    with pytest.raises(DataError, match="'shares' is of shape"):
        await rate(CategoryRouter(str(tmp_path / "r")), x="one")
