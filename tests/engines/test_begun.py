"""Ids of text that more text follows."""

from __future__ import annotations

from ponder.engines.begun import before_more


def test_what_is_put_behind_is_taken_off() -> None:
    assert before_more([7, 198, 198, 55], [55]) == [7, 198, 198]
    assert before_more([7, 5, 6], [5, 6]) == [7]


def test_where_the_two_are_joined_there_is_no_telling() -> None:
    assert before_more([7, 99], [55]) == []
    assert before_more([55], [55]) == []
    assert before_more([], [55]) == []
