from __future__ import annotations

import pytest

from ponder.text.confidence import HOW_LIKELY, MARKS, stated_share, unmarked
from ponder.text.prompts import is_chinese


@pytest.mark.parametrize(
    ("answer", "bare"),
    [
        ("It is 5.<CN>", "It is 5."),
        ("It is 5. <UN>\n", "It is 5."),
        ("<CN>", ""),
        ("It is 5.", "It is 5."),
        ("<CN> is a mark.", "<CN> is a mark."),
        ("5 <CN><UN>", "5 <CN>"),
        ("5 ", "5 "),
    ],
)
def test_only_a_mark_at_the_end_is_taken_off(answer: str, bare: str) -> None:
    assert unmarked(answer) == bare


def test_marks_may_be_others() -> None:
    assert unmarked("5\nSure? yes", ("\nSure? yes", "\nSure? no")) == "5"
    assert MARKS == ("<CN>", "<UN>")


@pytest.mark.parametrize(
    ("text", "share"),
    [("85", 0.85), ("about 7 of 10", 0.07), ("100 %", 1.0), ("101", None), ("sure", None)],
)
def test_a_number_is_read_as_a_share_of_100(text: str, share: float | None) -> None:
    assert stated_share(text) == share


def test_the_question_is_asked_in_both_languages() -> None:
    assert is_chinese(HOW_LIKELY.to("二加三等于几？"))
    assert "100" in HOW_LIKELY.to("What is 2 + 3?")
