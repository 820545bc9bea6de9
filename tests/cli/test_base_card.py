"""Scores by family and difficulty, and the page of a model's folder."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ponder.cli.base_card import HEADS, card, scores
from ponder.train.base.recipe import Recipe

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.train.base.measure import Measured  # noqa: E402

ONE = Measured("sums", 1, True, True, False, 45, 40, 10, 12)
MEASURED = [
    ONE,
    replace(ONE, difficulty=2, minimal=30, thought=80, exit=33),
    replace(ONE, difficulty=2, correct=False, truncated=True, minimal=20, thought=200, exit=200),
    replace(ONE, thinking=False, correct=False, thought=0, exit=0),
]


def test_scores_are_of_the_family_and_of_each_difficulty() -> None:
    on, easy, hard, off, off_easy = scores(MEASURED)
    assert [score.difficulty for score in (on, easy, hard, off, off_easy)] == [None, 1, 2, None, 1]
    assert [score.thinking for score in (on, easy, hard, off, off_easy)] == [True, True, True, False, False]
    assert (on.questions, on.right, on.truncated) == (3, pytest.approx(2 / 3), 1)
    assert (on.thought, on.minimal, on.ratio) == (pytest.approx(320 / 3), 20.0, pytest.approx(320 / 60))
    assert (easy.exit, hard.exit) == (12.0, 116.5)
    assert off.right == off_easy.right == 0


def test_intervals_are_wilson_s() -> None:
    """Two of three right: 0.208 to 0.939 in Wilson's own table."""
    on = scores(MEASURED)[0]
    assert (on.low, on.high) == (pytest.approx(0.2077, abs=1e-4), pytest.approx(0.9385, abs=1e-4))


def test_nothing_measured_is_no_row() -> None:
    assert scores([]) == []


def test_a_card_has_the_command_and_the_table() -> None:
    text = card("tiny", Recipe(seed=7), "ponder train base --size small --out tiny", MEASURED)
    assert text.startswith("# tiny\n")
    assert "    ponder train base --size small --out tiny\n" in text
    assert "The seed is 7" in text
    assert "| " + " | ".join(HEADS) + " |" in text
    assert "| sums | all | on | 3 | 66.7 % [20.8, 93.9] | 106.7 | 20.0 | 5.33 | 81.7 | 1 |" in text
    assert "| sums | 1 | off | 1 | 0.0 % [0.0, 79.3] | – | 10.0 | – | – | 0 |" in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert {line.count("|") for line in rows} == {len(HEADS) + 1}
