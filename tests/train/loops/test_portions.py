"""Stages: rows by data set or by length, and nothing left out in silence."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.core.errors import DataError  # noqa: E402
from ponder.train.loops.encode import Encoded  # noqa: E402
from ponder.train.loops.portions import divide  # noqa: E402
from ponder.train.loops.settings import SFT  # noqa: E402


def rows(*completions: int) -> list[Encoded]:
    """Rows with prompts of ten tokens."""
    return [Encoded(tuple(range(10 + count)), 10) for count in completions]


def test_standard_mixes_everything() -> None:
    (portion,) = divide(SFT(max_length=50), ["a", "b"], [rows(10, 20), rows(30, 60)])
    assert portion.name == "a + b"
    assert portion.rows == (0, 1, 2)
    assert (portion.read, portion.too_long, portion.beyond, portion.mean) == (4, 1, 0, 20.0)


def test_progressive_takes_one_set_after_the_other() -> None:
    first, second = divide(SFT(schedule="progressive"), ["long", "short"], [rows(30, 40), rows(10, 20)])
    assert (first.name, first.rows, first.mean) == ("long", (0, 1), 35.0)
    assert (second.name, second.rows, second.mean) == ("short", (2, 3), 15.0)


def test_lengths_keep_fewer_rows_from_stage_to_stage() -> None:
    settings = SFT(schedule="progressive", lengths=(40, 20, 10), max_length=60)
    found = divide(settings, ["a", "b"], [rows(30, 10), rows(20, 40, 60)])
    assert [portion.rows for portion in found] == [(0, 1, 2, 3), (1, 2), (1,)]
    assert [portion.beyond for portion in found] == [0, 2, 3]
    assert [portion.too_long for portion in found] == [1, 1, 1]
    assert [portion.mean for portion in found] == [25.0, 15.0, 10.0]


def test_a_stage_that_is_no_shorter_is_refused() -> None:
    with pytest.raises(DataError, match=r"at most 100 tokens is no shorter than that of at most 200 .* 15\.0 tokens"):
        divide(SFT(schedule="progressive", lengths=(200, 100)), ["a"], [rows(10, 20)])


def test_a_stage_without_rows_says_what_left_them_out() -> None:
    with pytest.raises(DataError, match="a: no row is left to train on; of 2 rows, 2 are longer than max_length = 15"):
        divide(SFT(max_length=15), ["a"], [rows(10, 20)])
    with pytest.raises(
        DataError, match=r"at most 5 tokens: .* of 3 rows, 1 are longer than max_length = 40 tokens, 2 have .* than 5"
    ):
        divide(SFT(schedule="progressive", lengths=(25, 5), max_length=40), ["a"], [rows(10, 20, 50)])
