"""Lengths in steps, bins of them, and which bins agree best."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.lengths import agreeing, bins_by_quantile, bins_by_width, entropy, lines, paragraphs, words_a_line
from ponder.text.votes import classes

NOTED = ["3A", "3B", "4B", "5C", "5C", "6C", "7B", "8B", "9B", "9A", "10B", "11D"]
LENGTHS = {i: int(text[:-1]) for i, text in enumerate(NOTED)}
GROUPS = classes([text[-1] for text in NOTED], str.__eq__)


def test_steps_end_with_lines_or_blank_lines() -> None:
    text = "one\ntwo\n\n  \nthree\n"
    assert (lines(text), paragraphs(text)) == (3, 2)
    assert (lines(""), paragraphs(""), lines(" \n"), paragraphs("\n\n\n")) == (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("text", "mean"),
    [("24 - 9 = 15\n\n15 + 6 = 21\n#### 21", 4), ("one two three", 3), ("单价 7元\n好", 2.5), ("", 0), (" \n ", 0)],
)
def test_words_of_a_line(text: str, mean: float) -> None:
    assert words_a_line(text) == mean


@pytest.mark.parametrize(("counts", "value"), [((1, 1), 0.6931), ((1, 2), 0.6365), ((5,), 0), ((1, 0, 1), 0.6931)])
def test_entropy_in_nats(counts: tuple[int, ...], value: float) -> None:
    assert entropy(counts) == pytest.approx(value, abs=5e-5)


def test_the_worked_example() -> None:
    bins = bins_by_width(LENGTHS, 2)
    assert [[NOTED[i] for i in members] for members in bins] == [
        ["3A", "3B"], ["4B", "5C", "5C"], ["6C", "7B"], ["8B", "9B", "9A"], ["10B", "11D"],
    ]  # fmt: skip
    kept = {keep: "".join(NOTED[i][-1] for i in agreeing(bins, GROUPS, keep, 2)) for keep in (1, 2, 3, 5)}
    assert kept == {1: "BCC", 2: "BCCBBA", 3: "ABBCCBBA", 5: "ABBCCCBBBABD"}


def test_small_bins_are_not_judged_unless_asked() -> None:
    lengths = {0: 1, 1: 5, 2: 5, 3: 5, 4: 9}
    groups = [[0, 1, 2], [3], [4]]
    bins = bins_by_width(lengths, 2)
    assert agreeing(bins, groups, 1, 2) == [1, 2, 3]
    assert agreeing(bins, groups, 1, 1) == [0], "a single sample agrees with itself"
    assert agreeing(bins, groups, 1, 4) == [0, 1, 2, 3, 4], "none is large enough"


def test_quantile_bins_have_about_equal_sizes_and_keep_equal_lengths_together() -> None:
    assert [len(members) for members in bins_by_quantile({i: i * i for i in range(8)}, 4)] == [2, 2, 2, 2]
    assert bins_by_quantile({0: 30, 1: 10, 2: 20}, 3) == [[1], [2], [0]]
    assert bins_by_quantile({0: 5, 1: 5, 2: 5, 3: 9}, 2) == [[0, 1, 2, 3]]
    assert bins_by_quantile({}, 4) == bins_by_width({}, 4) == []


@given(st.dictionaries(st.integers(0, 20), st.integers(0, 40)), st.integers(1, 9), st.integers(1, 5))
def test_bins_hold_every_sample_once_in_growing_length(lengths: dict[int, int], bins: int, width: int) -> None:
    for found in (bins_by_quantile(lengths, bins), bins_by_width(lengths, width)):
        assert sorted(index for members in found for index in members) == sorted(lengths)
        ends = [(min(lengths[i] for i in members), max(lengths[i] for i in members)) for members in found]
        assert all(a[1] < b[0] for a, b in pairwise(ends))
    assert len(bins_by_quantile(lengths, bins)) <= bins
    assert agreeing(bins_by_quantile(lengths, 1), [], 1, math.inf) == sorted(lengths)  # type: ignore[arg-type]
