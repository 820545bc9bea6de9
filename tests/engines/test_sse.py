"""The event parser gives the same events however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import EngineError
from ponder.engines.sse import EventParser


def parse(*pieces: bytes, limit: int = 1 << 20) -> list[bytes]:
    parser = EventParser(limit)
    events = [event for piece in pieces for event in parser.feed(piece)]
    return [*events, *parser.close()]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_lines_end_in_three_ways(end: bytes) -> None:
    raw = end.join([b"data: one", b"", b": ping", b"event: message", b"id: 7", b"retry: 5", b"data:two", b"", b""])
    assert parse(raw) == [b"one", b"two"]
    assert parse(*(raw[i : i + 1] for i in range(len(raw)))) == [b"one", b"two"]


def test_several_data_lines_are_one_event() -> None:
    assert parse(b"data: a\ndata\ndata:  b\n\n") == [b"a\n\n b"]


def test_comments_and_blank_lines_are_no_events() -> None:
    assert parse(b": keep-alive\n\n\n\nevent: x\n\ndatabase: 3\n\n") == []


def test_a_byte_order_mark_is_skipped() -> None:
    assert parse(b"\xef\xbb", b"\xbfdata: a\n\n") == [b"a"]


def test_the_last_event_may_lack_its_blank_line() -> None:
    assert parse(b"data: a\n\ndata: b") == [b"a", b"b"]
    assert parse(b"data: a\n") == [b"a"]


def test_a_line_or_an_event_that_never_ends_is_refused() -> None:
    with pytest.raises(EngineError, match="not a token stream"):
        parse(b"data: " + b"x" * 200, limit=100)
    with pytest.raises(EngineError, match="not a token stream"):
        parse(*[b"data: " + b"x" * 30 + b"\n"] * 5, limit=100)
    assert parse(*[b"data: " + b"x" * 90 + b"\n\n"] * 5, limit=100) == [b"x" * 90] * 5


texts = st.binary(max_size=12).filter(lambda b: b"\n" not in b and b"\r" not in b)


@given(
    st.lists(texts, max_size=6),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_cuts_do_not_matter(events: list[bytes], end: bytes, cuts: list[int]) -> None:
    raw = b"".join(b"data: " + event + end + end for event in events)
    places = sorted({0, len(raw), *(cut for cut in cuts if cut < len(raw))})
    pieces = [raw[a:b] for a, b in pairwise(places)]
    assert parse(*pieces) == events
