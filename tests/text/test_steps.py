from __future__ import annotations

import pytest

from ponder.text.steps import plain, step_ends, step_texts, unmarked

MARKS = ("<think>", "</think>")
REPLY = "<think>\n3+4=0\nWait.  \n\n0+2=2\n</think>\n\n\\boxed{2}"


def test_a_command_line_s_delimiter_is_the_text_s() -> None:
    assert plain("\\n\\n") == "\n\n"
    assert plain("\\t;") == "\t;"
    assert plain("\n") == "\n"


def test_steps_end_behind_their_last_visible_character() -> None:
    ends = step_ends(REPLY, "\n", MARKS)
    assert [REPLY[:end].rpartition("\n")[2] for end in ends] == ["3+4=0", "Wait.", "0+2=2", "\\boxed{2}"]
    assert all(not REPLY[end - 1].isspace() for end in ends)


def test_marks_and_blanks_are_no_steps() -> None:
    assert step_ends("<think>\n\n</think>\n", "\n", MARKS) == []
    assert step_ends("", "\n") == []
    assert step_texts("<think>\n \nso</think>\n\n5", "\n", MARKS) == ["so", "5"]


def test_without_marks_they_are_text_like_any_other() -> None:
    assert step_texts("<think>\nso", "\n") == ["<think>", "so"]


def test_a_mark_behind_a_step_ends_with_it() -> None:
    text = "so 5</think>\n\n5"
    assert step_ends(text, "\n", MARKS) == [12, 15]
    assert step_texts(text, "\n", MARKS) == ["so 5", "5"]


@pytest.mark.parametrize("text", ["one long thought", "one\nlong\nthought"])
def test_a_delimiter_that_never_comes_leaves_one_step(text: str) -> None:
    assert step_ends(text, "\n\n") == [len(text)]
    assert step_texts(text, "\n\n") == [text]


def test_blank_lines_part_paragraphs() -> None:
    text = "first\nline\n\nsecond\n\n\nthird  "
    assert step_texts(text, "\n\n") == ["first\nline", "second", "third"]
    assert [text[:end] for end in step_ends(text, "\n\n")][-1] == text.rstrip()


def test_marks_are_taken_out() -> None:
    assert unmarked(" <think>\n so </think>", MARKS) == "so"
