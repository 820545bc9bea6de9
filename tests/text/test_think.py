from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.escape import USUAL
from ponder.text.think import Piece, ThinkSplitter, split

OPEN, CLOSE = "<think>", "</think>"
TEXTS = st.lists(
    st.sampled_from([OPEN, CLOSE, "<", "</", "</thin", "<thi", "nk>", ">", " ", "\n\n", "a", "b c", "1 < 2", "是"]),
    max_size=12,
).map("".join)


def merged(pieces: list[Piece]) -> list[Piece]:
    """Join neighbours of one kind, so that cuts do not show."""
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1][1:] == piece[1:]:
            joined[-1] = Piece(joined[-1].text + piece.text, *piece[1:])
        else:
            joined.append(piece)
    return joined


def feed(splitter: ThinkSplitter, parts: list[str]) -> list[Piece]:
    return [*(piece for part in parts for piece in splitter.feed(part)), *splitter.flush()]


@given(TEXTS, st.booleans(), st.data())
def test_cuts_do_not_matter_and_nothing_is_lost(text: str, opened: bool, data: st.DataObject) -> None:
    whole = feed(ThinkSplitter(OPEN, CLOSE, opened=opened), [text])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(text)), max_size=6)))
    parts = [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]
    pieces = feed(ThinkSplitter(OPEN, CLOSE, opened=opened), parts)
    assert "".join(piece.text for piece in pieces) == text
    assert merged(pieces) == merged(whole)
    assert all(piece.text for piece in pieces)


@given(TEXTS, st.booleans())
def test_marks_are_markup_and_content_holds_no_mark_of_its_channel(text: str, opened: bool) -> None:
    for piece in feed(ThinkSplitter(OPEN, CLOSE, opened=opened), [text]):
        if piece.markup:
            assert piece.text.strip() in ("", OPEN, CLOSE)
        else:
            assert (CLOSE if piece.channel == "think" else OPEN) not in piece.text


@given(TEXTS, st.booleans())
def test_what_is_held_back_could_become_a_mark(text: str, opened: bool) -> None:
    splitter = ThinkSplitter(OPEN, CLOSE, opened=opened)
    given_out = sum(len(piece.text) for character in text for piece in splitter.feed(character))
    held = text[given_out:]
    mark = CLOSE if splitter.thinking else OPEN
    assert mark.startswith(held) or not held
    assert len(held) < len(mark)


@pytest.mark.parametrize(
    ("text", "opened", "thinking", "answer"),
    [
        ("<think>a</think>b", False, "a", "b"),
        ("<think>\n a\n</think>\n\nb", False, "a\n", "b"),
        ("a</think>b", True, "a", "b"),
        ("\na</think> b", True, "a", "b"),
        ("a</think>b", False, "", "a</think>b"),
        ("plain", False, "", "plain"),
        ("plain", True, "plain", ""),
        ("<think>a", False, "a", ""),
        ("<think>a</thi", False, "a</thi", ""),
        ("1 <th 2", False, "", "1 <th 2"),
        ("<think>a</think>b<think>c</think>d", False, "ac", "bd"),
        ("", True, "", ""),
    ],
)
def test_split(text: str, opened: bool, thinking: str, answer: str) -> None:
    assert split(text, OPEN, CLOSE, opened) == (thinking, answer)


def test_a_model_without_marks_has_no_thinking() -> None:
    splitter = ThinkSplitter("", "")
    assert splitter.feed("<think>a</think>") == [Piece("<think>a</think>", "answer")]
    assert splitter.feed("") == []
    assert splitter.flush() == []
    assert not splitter.thinking


def test_a_close_mark_alone_is_enough_where_the_template_opens() -> None:
    assert split("a</think>b</think>c", "", CLOSE, opened=True) == ("a", "b</think>c")


@pytest.mark.parametrize(
    ("prefill", "opened", "thinking", "first"),
    [
        ("", False, False, Piece("\nx", "answer")),
        ("", True, True, Piece("\n", "think", markup=True)),
        ("<think>", False, True, Piece("\n", "think", markup=True)),
        ("<think>\n", False, True, Piece("\n", "think", markup=True)),
        ("<think>\nso", False, True, Piece("\nx", "think")),
        ("<think>a</think>", False, False, Piece("\n", "answer", markup=True)),
        ("<think>a</think>b", False, False, Piece("\nx", "answer")),
        ("a</think>", True, False, Piece("\n", "answer", markup=True)),
        ("a", True, True, Piece("\nx", "think")),
        ("<think>a</think><think>", False, True, Piece("\n", "think", markup=True)),
    ],
)
def test_a_prefill_decides_where_the_reply_begins(prefill: str, opened: bool, thinking: bool, first: Piece) -> None:
    splitter = ThinkSplitter(OPEN, CLOSE, prefill=prefill, opened=opened)
    assert splitter.thinking is thinking
    assert splitter.feed("\nx")[0] == first


def test_marks_with_blanks_are_matched_by_their_visible_part() -> None:
    assert split("<think>a</think>b", "<think>\n", "</think>\n\n") == ("a", "b")


def test_a_mark_is_known_the_moment_its_last_character_comes() -> None:
    splitter = ThinkSplitter(OPEN, CLOSE)
    assert splitter.feed("<thin") == []
    assert splitter.feed("k>") == [Piece("<think>", "think", markup=True)]
    assert splitter.thinking
    assert splitter.feed("a</") == [Piece("a", "think")]
    assert splitter.feed("b") == [Piece("</b", "think")]
    assert splitter.feed(CLOSE) == [Piece(CLOSE, "think", markup=True)]
    assert not splitter.thinking


@pytest.mark.parametrize(("open", "close"), USUAL)
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_marks_of_all_models_however_they_are_cut(open: str, close: str, size: int) -> None:
    """DeepSeek, Mistral, Kimi, Seed, Gemma's channels and Harmony's; a template may have written the opening."""
    for opened in (False, True):
        splitter = ThinkSplitter(open, close, opened=opened)
        text = f"{'' if opened else open}\na < b\n{close}\n\nso | b"
        pieces = [piece for i in range(0, len(text), size) for piece in splitter.feed(text[i : i + size])]
        said = {channel: "" for channel in ("think", "answer")}
        for piece in (*pieces, *splitter.flush()):
            said[piece.channel] += "" if piece.markup else piece.text
        assert said == {"think": "a < b\n", "answer": "so | b"}
