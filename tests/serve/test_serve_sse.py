"""Events as they are written, read back by the parser that reads the upstreams'."""

from __future__ import annotations

import json

import pytest

from ponder.engines.sse import EventParser
from ponder.serve.sse import DONE, HEADERS, comment, dumps, event, quote

TEXTS = [
    "",
    "plain",
    'quotes " and \\ backslashes',
    "line\nbreaks\r\nand\ttabs",
    "\x00\x1f\x7f",
    "Grüße, 你好, \U0001f600",
    "\u2028 and \u2029 and \ufeff",
    "data: [DONE]\n\n",
]


def test_headers_of_a_stream() -> None:
    """text/event-stream; charset=utf-8, no-cache, X-Accel-Buffering: no, no Content-Length"""
    assert dict(HEADERS) == {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-cache",
        "X-Accel-Buffering": "no",
    }


def test_the_last_event() -> None:
    """last event `data: [DONE]`"""
    assert DONE == b"data: [DONE]\n\n"


def test_an_event_is_a_line_of_data_and_an_empty_one() -> None:
    """each event `data: <json>` + blank line"""
    assert event({"a": [1, None, "x"]}) == b'data: {"a":[1,null,"x"]}\n\n'


@pytest.mark.parametrize("text", TEXTS)
def test_any_text_survives(text: str) -> None:
    raw = event({"text": text})
    assert raw.count(b"\n") == 2, "JSON holds no bare line break, so an event cannot be torn"
    assert EventParser().feed(raw) == [raw[6:-2]]
    assert json.loads(raw[6:]) == {"text": text}
    assert quote(text) == dumps(text) == json.dumps(text, ensure_ascii=False).encode()


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\ude00\ud83d"])
def test_half_a_surrogate_pair_does_not_break_a_stream(text: str) -> None:
    assert quote(text) == json.dumps(text).encode()
    assert json.loads(dumps({"text": text})) == {"text": text}
    assert json.loads(event({"text": text})[6:]) == {"text": text}


def test_what_json_has_not_is_never_written() -> None:
    with pytest.raises(ValueError, match="JSON"):
        dumps({"logprob": float("-inf")})


def test_a_comment_is_no_event() -> None:
    """SSE comment lines (`: ping`) | ignored, fine"""
    assert comment("keep-alive") == b": keep-alive\n\n"
    assert EventParser().feed(comment("keep-alive") + event({})) == [b"{}"]


@pytest.mark.parametrize("text", ["two\nlines", "a\r\ndata: {}\r\n\r\n", "\ud800", "\n\ndata: [DONE]\n\n"])
def test_a_comment_cannot_become_an_event(text: str) -> None:
    raw = comment(text)
    assert raw.startswith(b": ")
    assert raw.endswith(b"\n\n")
    assert raw.count(b"\n") == 2
    assert b"\r" not in raw
    assert EventParser().feed(raw) == []
