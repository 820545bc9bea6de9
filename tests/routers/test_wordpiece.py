"""WordPiece: known cases, and the same pieces as BERT's own tokenizer on any text."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ponder.routers.wordpiece import _words, encode, words

PIECES = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "un", "##able", "##ab", "##le", "cafe", "3", "##4", "$", "二", "."]
VOCABULARY = {piece: index for index, piece in enumerate(PIECES)}


def pieces(text: str, limit: int = 50) -> list[str]:
    return [PIECES[index] for index in encode(text, VOCABULARY, limit)]


def test_case_and_accents_do_not_count() -> None:
    assert words("The CAFÉ") == ["the", "cafe"]


def test_punctuation_and_ideographs_are_words() -> None:
    assert words("a+b=$3.50 二加三") == ["a", "+", "b", "=", "$", "3", ".", "50", "二", "加", "三"]


def test_control_characters_vanish_and_blanks_part() -> None:
    assert words("a\x00b\tc\u00a0d\ufffd") == ["ab", "c", "d"]


def test_the_longest_known_pieces_are_taken() -> None:
    assert pieces("unable 34") == ["[CLS]", "un", "##able", "3", "##4", "[SEP]"]


def test_a_word_without_pieces_is_unknown_as_a_whole() -> None:
    assert pieces("unx the") == ["[CLS]", "[UNK]", "the", "[SEP]"]
    assert pieces("t" * 101) == ["[CLS]", "[UNK]", "[SEP]"]


def test_a_long_text_loses_its_end() -> None:
    assert pieces("the unable the", 4) == ["[CLS]", "the", "un", "[SEP]"]
    assert pieces("", 4) == ["[CLS]", "[SEP]"]


@given(st.text(st.characters(max_codepoint=127)))
def test_the_quick_way_through_ascii_gives_the_same_words(text: str) -> None:
    assert words(text) == _words(text)


@given(st.text())
def test_any_text_has_words_that_are_words_again(text: str) -> None:
    found = words(text)
    assert all(found)
    assert not any(char.isspace() for word in found for char in word)
    assert len(encode(text, VOCABULARY, 8)) <= 8
