"""Encoder classifier: three classes by hand, whom ties count for, and questions it tells apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.arena import arena, outcomes
from support.bert import tiny_bert
from support.routed import trained

from ponder.core.errors import DataError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.encoder import EncoderClassifier, Head
from ponder.routers.state import State
from ponder.train.routers.fit import Settings
from ponder.train.routers.train import store
from ponder.train.routers.vectors import see

ARRAYS = {"weights": np.zeros((2, 3), np.float32), "bias": np.log(np.array([0.5, 0.3, 0.2], np.float32))}


def head(choices: tuple[str, ...] = ("weak", "strong")) -> Head:
    return Head(State(Path("r"), choices, {}, ARRAYS))


def test_a_tie_counts_half_for_each_or_for_the_weak_choice() -> None:
    nothing = np.zeros(2, np.float32)
    assert head().rate(nothing, "half") == pytest.approx({"weak": 0.35, "strong": 0.65})
    assert head().rate(nothing, "weak") == pytest.approx({"weak": 0.5, "strong": 0.5})


def test_three_choices_are_too_many() -> None:
    with pytest.raises(DataError, match=r"choices = \['a', 'b', 'c'\] must be two"):
        head(("a", "b", "c"))


async def rate(router: EncoderClassifier, text: str) -> dict[str, float]:
    return dict(await router.rate(Problem.of(text), Run(Echo())))


@pytest.mark.parametrize("table", [outcomes(400), arena(2000)], ids=["outcomes", "preferences"])
async def test_hard_questions_are_told_from_easy_ones(tmp_path: Path, table: object) -> None:
    router = EncoderClassifier(trained("encoder", table, tmp_path / "r"))  # type: ignore[arg-type]
    easy, hard = await rate(router, "Please add the item 1."), await rate(router, "Please prove the item 1.")
    assert hard["strong"] > 0.65
    assert easy["strong"] < 0.6


async def test_it_serves_with_the_encoder_that_it_was_trained_with(tmp_path: Path) -> None:
    table, folder = outcomes(200), tiny_bert(tmp_path / "bert")
    seen = see(table.questions, "encoder", folder, 0, lambda done, total: None)
    store("encoder", table, seen, tmp_path / "r", Settings())
    found = await rate(EncoderClassifier(str(tmp_path / "r")), "Please add the item 1.")
    assert sum(found.values()) == pytest.approx(1)
    moved = folder.rename(tmp_path / "moved")
    assert await rate(EncoderClassifier(str(tmp_path / "r"), str(moved)), "Please add the item 1.") == found
