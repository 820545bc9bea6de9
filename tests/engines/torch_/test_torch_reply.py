"""Chunks against their promises: characters whole, stops cut, channels apart, ids exact, every token billed once."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.engine import Chunk, Logprob, StreamFinish, Think, Usage
from ponder.text.think import split

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.engines.torch.reply import Detokenizer, Reply  # noqa: E402

TAGS = Think("<think>", "</think>")
WORDS: dict[int, bytes] = {300: b"<think>", 301: b"</think>", 302: b" the", 303: b"x</", 304: b"think>\n\n", 305: b""}


def decode(ids: Sequence[int]) -> str:
    """A byte-level tokenizer: ids below 256 are bytes, some others are words."""
    return b"".join(WORDS.get(token, bytes([token % 256])) for token in ids).decode(errors="replace")


def play(
    ids: Sequence[int], *, tail: Sequence[int] = (), prefill: str = "", stops: tuple[str, ...] = (),
    finish: StreamFinish = "length", think: Think = TAGS, forced: Sequence[int] = (),
) -> list[Chunk]:  # fmt: skip
    reply = Reply(decode, tail, think, prefill, stops)
    chunks = []
    for token in forced:
        chunks += reply.feed(token, Logprob(str(token), -2.0), forced=True)
    for count, token in enumerate(ids, 1):
        chunks += reply.feed(token, Logprob(str(token), -1.0))
        if reply.matched is not None:
            return [*chunks, *reply.end("stop", Usage(0, count))]
    if finish == "stop":
        reply.close()
    return [*chunks, *reply.end(finish, Usage(0, len(ids)))]


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ids_of(chunks: list[Chunk]) -> list[int]:
    return [token for chunk in chunks for token in chunk.token_ids]


def test_a_character_of_several_tokens_comes_whole_with_all_its_ids() -> None:
    ids = list("a你🦙b".encode())
    chunks = play(ids)
    assert [(chunk.text, chunk.tokens) for chunk in chunks] == [("a", 1), ("你", 3), ("🦙", 4), ("b", 1), ("", 0)]
    assert ids_of(chunks) == ids
    assert [len(chunk.logprobs) for chunk in chunks] == [1, 3, 4, 1, 0]


def test_a_token_that_ends_inside_a_character_waits_with_it() -> None:
    WORDS[310] = "a你".encode()[:3]
    chunks = play([310, "你".encode()[2]])
    assert [(chunk.text, chunk.token_ids) for chunk in chunks[:-1]] == [("a你", (310, 160))]


def test_half_a_character_at_the_limit_has_no_text_but_its_ids() -> None:
    first, second, third = "你".encode()
    (end,) = play([first, second])
    assert (end.text, end.tokens, end.token_ids, end.finish) == ("", 2, (first, second), "length")
    rest = play([third, 98], tail=[97, first, second])
    assert [(chunk.text, chunk.token_ids) for chunk in rest[:-1]] == [("你", (third,)), ("b", (98,))]


def test_half_a_character_at_the_end_of_the_turn_stays_half() -> None:
    chunks = play(list("你".encode())[:2], finish="stop")
    assert text(chunks) == "\ufffd"
    assert sum(chunk.tokens for chunk in chunks) == 3


def test_the_end_of_turn_is_one_token() -> None:
    chunks = play([97], finish="stop")
    assert [(chunk.text, chunk.tokens, chunk.finish) for chunk in chunks] == [("a", 1, None), ("", 1, "stop")]


def test_broken_bytes_are_given_out_and_block_nothing() -> None:
    ids = [0x80] * 9 + [97]
    chunks = play(ids)
    assert text(chunks) == "\ufffd" * 9 + "a"
    assert ids_of(chunks) == ids
    assert max(chunk.tokens for chunk in chunks) <= 4


def test_a_stop_string_over_several_tokens_is_cut_to_the_character() -> None:
    chunks = play(list(b"one. Stop here"), stops=("Stop", "here"))
    assert text(chunks) == "one. "
    assert (chunks[-1].finish, chunks[-1].matched_stop, chunks[-1].tokens) == ("stop", "Stop", 4)
    assert sum(chunk.tokens for chunk in chunks) == 9


def test_what_only_looked_like_a_stop_keeps_its_ids() -> None:
    ids = list(b"a Stow S")
    chunks = play(ids, stops=("Stop",))
    assert text(chunks) == "a Stow S"
    assert ids_of(chunks) == ids
    assert ("Stow"[:4], 4) in [(chunk.text, chunk.tokens) for chunk in chunks]


def test_marks_are_markup_and_channels_never_mix() -> None:
    ids = [300, *b"so", 301, *b"42"]
    chunks = play(ids)
    shown = [(chunk.text, chunk.channel, chunk.markup) for chunk in chunks if chunk.text]
    assert shown[0] == ("<think>", "think", True)
    assert shown[3] == ("</think>", "think", True)
    assert [part for part in shown if part[1] == "answer"] == [("4", "answer", False), ("2", "answer", False)]
    assert ids_of(chunks) == ids


def test_a_mark_of_several_tokens_comes_as_one_with_its_ids() -> None:
    chunks = play([300, 97, *b"</think>", 98])
    (mark,) = [chunk for chunk in chunks if chunk.text == "</think>"]
    assert (mark.tokens, mark.token_ids) == (8, tuple(b"</think>"))


def test_a_token_that_belongs_to_both_channels_is_cut_without_its_id() -> None:
    chunks = play([300, 303, 304, 98])
    assert [(chunk.text, chunk.channel, chunk.tokens, chunk.token_ids) for chunk in chunks if chunk.text] == [
        ("<think>", "think", 1, (300,)),
        ("x", "think", 1, ()),
        ("</think>", "think", 1, ()),
        ("\n\n", "answer", 0, ()),
        ("b", "answer", 1, (98,)),
    ]


def test_a_reply_may_begin_inside_a_thought() -> None:
    opened = Think("<think>", "</think>", opened=True)
    assert [chunk.channel for chunk in play([97, 301, 98], think=opened) if chunk.text] == ["think", "think", "answer"]
    assert play([97], prefill="<think>hm", think=TAGS)[0].channel == "think"


def test_a_silent_token_rides_with_the_next_text() -> None:
    reply = Reply(decode, (), TAGS)
    assert reply.feed(305, silent=True) == []
    (chunk,) = reply.feed(97)
    assert (chunk.text, chunk.tokens, chunk.token_ids) == ("a", 2, (305, 97))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*b"ab<>/think", 300, 301, 302, 303, 304, *"你é".encode(), 0x80])),
    st.lists(st.text("abt<h你", min_size=1, max_size=3), max_size=2),
    st.booleans(),
)
def test_every_token_is_billed_once_and_the_text_is_what_the_ids_spell(
    ids: list[int], stops: list[str], ended: bool
) -> None:
    chunks = play(ids, stops=tuple(stops), finish="stop" if ended else "length")
    spelled, end = decode(ids), chunks[-1]
    assert end.usage is not None
    assert sum(chunk.tokens for chunk in chunks) == (end.usage.generated or 0) + (ended and end.matched_stop is None)
    if end.matched_stop is not None:
        assert spelled.startswith(text(chunks) + end.matched_stop)
        assert not any(stop in text(chunks) for stop in stops)
        return
    assert spelled.startswith(text(chunks))
    assert set(spelled[len(text(chunks)) :]) <= {"\ufffd"}
    if all(len(chunk.token_ids) == chunk.tokens for chunk in chunks[:-1]):
        known = ids_of(chunks)
        assert known == ids[: len(known)]
    assert sum(len(chunk.logprobs) for chunk in chunks) == len(ids)
    thinking = "".join(chunk.text for chunk in chunks if chunk.channel == "think" and not chunk.markup)
    answer = "".join(chunk.text for chunk in chunks if chunk.channel == "answer" and not chunk.markup)
    assert (thinking, answer) == split(text(chunks), "<think>", "</think>")


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*"a你🦙é".encode(), 302])), st.integers(0, 12))
def test_a_cut_anywhere_changes_no_character(ids: list[int], at: int) -> None:
    """How many U+FFFD stand for bytes that never become a character may depend on the cut, and says nothing."""
    head, tail = ids[:at], ids[at:]
    joined = text(play(head)) + text(play(tail, tail=head))
    one, two = (re.sub("\ufffd+", "\ufffd", whole.rstrip("\ufffd")) for whole in (joined, text(play(ids))))
    assert one == two


def test_the_detokenizer_flushes_what_is_left() -> None:
    reader = Detokenizer(decode, ())
    assert reader.feed(97) == ("", "a")
    assert reader.feed(0xE4) == ("", "")
    assert reader.feed(98) == ("\ufffd", "b")
    assert reader.feed(0xE4) == ("", "")
    assert reader.flush() == "\ufffd"
    assert reader.flush() == ""


def test_forced_tokens_have_chunks_of_their_own_and_cost_nothing() -> None:
    chunks = play(list(b"cd"), forced=list(b"ab"))
    assert [(c.text, c.tokens, c.token_ids, c.forced) for c in chunks[:-1]] == [
        ("a", 0, (97,), True), ("b", 0, (98,), True), ("c", 1, (99,), False), ("d", 1, (100,), False)
    ]  # fmt: skip


def test_a_forced_token_of_both_channels_is_cut_without_its_id_and_stays_forced() -> None:
    chunks = play([98], forced=[300, 303, 304])
    assert [(c.text, c.channel, c.tokens, c.token_ids, c.forced) for c in chunks if c.text] == [
        ("<think>", "think", 0, (300,), True),
        ("x", "think", 0, (), True),
        ("</think>", "think", 0, (), True),
        ("\n\n", "answer", 0, (), True),
        ("b", "answer", 1, (98,), False),
    ]


def test_silent_forced_tokens_at_the_end_are_given_out_before_it() -> None:
    reply = Reply(decode, (), TAGS)
    assert reply.feed(305, silent=True, forced=True) == []
    given, end = reply.end("length", Usage(3, 0))
    assert (given.token_ids, given.tokens, given.forced, given.finish) == ((305,), 0, True, None)
    assert (end.token_ids, end.tokens, end.forced, end.finish) == ((), 0, False, "length")


@settings(max_examples=300, deadline=None)
@given(
    st.lists(st.sampled_from([*b"ab<>/think", 300, 301, 302, 303, 304, *"你é".encode(), 0x80])),
    st.integers(0, 12),
    st.lists(st.text("abt<h你", min_size=1, max_size=3), max_size=2),
)
def test_forcing_the_beginning_changes_neither_text_nor_channels(ids: list[int], at: int, stops: list[str]) -> None:
    whole, parts = play(ids), play(ids[at:], forced=ids[:at])
    for channel in ("think", "answer"):
        said = ["".join(c.text for c in chunks if c.channel == channel) for chunks in (whole, parts)]
        assert said[0] == said[1]
    assert sum(chunk.tokens for chunk in parts) == len(ids[at:])
    given = [chunk for chunk in parts if chunk.forced]
    assert parts[: len(given)] == given
    assert sum(len(chunk.logprobs) for chunk in given) == min(at, len(ids))
    stopped = play(ids[at:], forced=ids[:at], stops=tuple(stops))
    assert text(stopped).startswith("".join(c.text for c in stopped if c.forced))
