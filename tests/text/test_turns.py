"""Where a thought turns, however its text is cut into pieces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.turns import PARAGRAPH, TURNS, Turns


def places(text: str, marks: tuple[str, ...], size: int) -> list[int]:
    """Return where marks begin, the text coming in pieces of `size` characters."""
    turns, found, seen = Turns(marks), [], 0
    for at in range(0, len(text), size):
        piece = text[at : at + size]
        seen += len(piece)
        if turns.feed(piece):
            found.append(seen - turns.behind)
    return found


@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_marks_are_found_over_seams(size: int) -> None:
    text = "It is 4. Wait, or 5? Alternatively 6.\n\n所以是7。这对不对？"
    assert places(text, TURNS, size) == [text.index("Wait"), text.index("Alter"), text.index("这对")]


def test_a_word_begins_where_words_begin() -> None:
    assert places("await, Await, aWait. Wait", ("Wait", "wait"), 1) == [21]


def test_a_paragraph_is_a_turn_where_that_is_asked() -> None:
    assert places("one\n\ntwo\nthree\n\nfour", (PARAGRAPH,), 1) == [3, 14]


def test_each_mark_is_found_once() -> None:
    turns = Turns(("Wait",))
    assert [turns.feed(piece) for piece in ("Wa", "it", ", ", "W", "ait.", "")] == [
        False,
        True,
        False,
        False,
        True,
        False,
    ]


@given(st.text("Wait. x", max_size=40), st.integers(1, 7))
def test_pieces_change_nothing(text: str, size: int) -> None:
    """Of several marks in one piece the first counts, so small pieces find at least as many."""
    whole = places(text, ("Wait",), 1)
    assert set(places(text, ("Wait",), size)) <= set(whole)
