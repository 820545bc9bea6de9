from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.escape import USUAL, Escape, Part

TEXTS = [
    "",
    "The answer is 42.",
    "42\n<think>\nhm\n</think>\n\n43",
    "so it is 42.\n</think>\n\n42",
    "</think>\n\n42",
    'Use `<think>` or "</think>" there.',
    "a < b <thin <think <th",
    "```xml\n<think>\nx\n</think>\n```\n<think>y",
]


def kinds(text: str, open: str = "<think>", close: str = "</think>", step: int = 0) -> list[Part]:
    """Return the parts of a text fed in pieces of `step` characters (0: all at once), neighbours of one kind joined."""
    escape = Escape(open, close)
    pieces = [text[i : i + step] for i in range(0, len(text), step)] if step else [text]
    parts = [part for piece in pieces for part in escape.feed(piece)] + escape.flush()
    joined: list[Part] = []
    for part in parts:
        if joined and joined[-1].kind == part.kind != "again":
            joined[-1] = Part(part.kind, joined[-1].text + part.text)
        else:
            joined.append(part)
    return joined


def answer(text: str, open: str = "<think>", close: str = "</think>") -> str:
    return "".join(part.text for part in kinds(text, open, close) if part.kind == "answer")


# What is thinking


def test_an_answer_is_an_answer() -> None:
    assert kinds("The answer is 42.") == [Part("answer", "The answer is 42.")]


def test_a_new_thought_is_thinking_up_to_its_end() -> None:
    assert kinds("42\n<think>\nhm\n</think>\n\n43") == [
        Part("answer", "42\n"),
        Part("think", "<think>\nhm\n</think>"),
        Part("answer", "\n\n43"),
    ]


def test_a_thought_that_never_ends_is_thinking_to_the_end() -> None:
    assert kinds("<think>wait, 12 + 30") == [Part("think", "<think>wait, 12 + 30")]


def test_a_second_closing_mark_says_that_all_before_it_was_thinking() -> None:
    assert kinds("so it is 42.\n</think>\n\n42") == [
        Part("answer", "so it is 42.\n"),
        Part("again", "</think>"),
        Part("answer", "\n\n42"),
    ]


@pytest.mark.parametrize("text", ["</think>\n\n42", "</think>42", "</think>"])
def test_a_closing_mark_that_is_only_repeated_is_no_text(text: str) -> None:
    assert kinds(text)[0] == Part("again", "</think>")
    assert answer(text) == text.removeprefix("</think>")


@pytest.mark.parametrize("text", ["42</think>43", "42.</think>\n", "42. </think>\n", "42 </think>"])
def test_a_mark_need_not_stand_at_the_beginning_of_a_line(text: str) -> None:
    assert [part.kind for part in kinds(text)][1] == "again"


@pytest.mark.parametrize("marks", USUAL)
def test_where_nobody_knows_the_marks_the_usual_ones_are_looked_for(marks: tuple[str, str]) -> None:
    opening, closing = marks
    assert answer(f"4\n{opening}\nhm\n{closing}\n2", "", "") == "4\n\n2"


def test_a_model_of_known_marks_has_no_others() -> None:
    text = "[THINK]hm[/THINK] </think>\n"
    assert answer(text, "◁think▷", "◁/think▷") == text


def test_marks_are_known_by_their_visible_part() -> None:
    assert answer("x\n</think>y", "<think>\n", "\n</think>\n\n") == "x\ny"


# What is a mention


@pytest.mark.parametrize(
    "text",
    [
        "Use `<think>` to open a thought.",
        'The tag "</think>" ends it.',
        "The tags “<think>” and ‘</think>’",
        "The <think> tag opens a thought, the </think> tag ends it.",
        "```xml\n<think>\nreasoning\n</think>\n```\nThat is all.",
        "Text:\n  ```\n</think>\n  ```\n",
        "`a </think> b` and\n`<think>`",
        "标签「<think>」表示思考",
    ],
)
def test_what_is_only_talked_about_stays_in_the_answer(text: str) -> None:
    assert kinds(text) == [Part("answer", text)]


def test_code_ends_with_its_fence() -> None:
    assert answer("```\n<think>\n```\n<think>hm</think>ok") == "```\n<think>\n```\nok"


def test_a_backtick_that_is_left_open_ends_with_its_line() -> None:
    assert answer("an apostrophe ` here\n<think>hm</think>ok") == "an apostrophe ` here\nok"


# How it arrives


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("step", [1, 2, 3, 5, 8])
def test_pieces_of_any_size_give_the_same(text: str, step: int) -> None:
    assert kinds(text, step=step) == kinds(text)


@given(
    st.lists(
        st.sampled_from(["<think>", "</think>", "<thi", "nk>", "`", "```", '"', " ", "\n", "a", "42. "]), max_size=12
    )
)
def test_nothing_is_lost_and_the_cuts_do_not_matter(pieces: list[str]) -> None:
    text = "".join(pieces)
    assert "".join(part.text for part in kinds(text)) == text
    escape = Escape("<think>", "</think>")
    fed = [part for piece in pieces for part in escape.feed(piece)] + escape.flush()
    assert "".join(part.text for part in fed) == text
    assert [part.kind for part in kinds(text, step=1) if part.kind == "again"] == [
        part.kind for part in fed if part.kind == "again"
    ]


def test_text_is_given_out_as_soon_as_it_cannot_become_a_mark() -> None:
    escape = Escape("<think>", "</think>")
    assert escape.feed("42 <") == [Part("answer", "42 ")]
    assert escape.feed("th") == []
    assert escape.feed("ree") == [Part("answer", "<three")]
    assert not escape.inside


def test_inside_says_where_the_next_text_belongs() -> None:
    escape = Escape("<think>", "</think>")
    escape.feed("<think>hm")
    assert escape.inside
    escape.feed("</think>")
    assert not escape.inside
