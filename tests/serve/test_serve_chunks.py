"""Streams as clients read them, chunk by chunk, in every form of thinking."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ponder.core.engine import Channel, Logprob
from ponder.core.problem import ToolCall
from ponder.engines.sse import EventParser
from ponder.serve.chunks import KEEP_ALIVE, ChatStream, CompletionStream
from ponder.serve.control import FORMATS, ReasoningFormat
from ponder.serve.fail import ApiError
from ponder.serve.respond import Applied, Bill, Choice, message_body

SAID: list[tuple[str, Channel]] = [("2 and", "think"), (" 2", "think"), ("It", "answer"), (" is 4", "answer")]
BILL = Bill(prompt=10, completion=30, reasoning=20, cached=4, by_role={"think": 20, "answer": 10}, calls=1)
ADD = ToolCall("call_1", "add", '{"a": "ü"}')


def events(raw: bytes) -> list[dict[str, Any]]:
    """Read bytes as a client does; `[DONE]` is left out."""
    return [json.loads(data) for data in EventParser().feed(raw) if data != b"[DONE]"]


def deltas(raw: bytes, index: int = 0) -> list[dict[str, Any]]:
    found = [event["choices"][0] for event in events(raw) if event["choices"]]
    return [choice["delta"] for choice in found if choice["index"] == index]


def told(stream: ChatStream, said: list[tuple[str, Channel]], reason: str = "stop") -> bytes:
    middle = b"".join(stream.delta(text, channel) for text, channel in said)
    return stream.first() + middle + stream.finish(reason) + stream.usage(BILL) + stream.done()


def chat(format: ReasoningFormat = "both", **more: Any) -> ChatStream:
    return ChatStream("chatcmpl-1", 1700000000, "qwen3", format, **more)


# Framing


def test_a_chunk_byte_for_byte() -> None:
    head = b'data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"qwen3","choices":['
    tail = b',"logprobs":null,"finish_reason":null}]}\n\n'
    stream = chat()
    assert stream.first() == head + b'{"index":0,"delta":{"role":"assistant","content":""}' + tail
    assert stream.delta("t", "think") == head + b'{"index":0,"delta":{"reasoning_content":"t","reasoning":"t"}' + tail
    assert stream.delta("a") == head + b'{"index":0,"delta":{"content":"a"}' + tail
    assert stream.finish("stop") == head + b'{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}\n\n'
    assert stream.usage(BILL) == b""
    assert stream.done() == b"data: [DONE]\n\n"


@pytest.mark.parametrize("format", FORMATS)
def test_the_first_chunk_is_the_role_with_empty_content(format: ReasoningFormat) -> None:
    """First chunk: `delta: {role: "assistant", content: ""}`"""
    assert deltas(told(chat(format), SAID))[0] == {"role": "assistant", "content": ""}


def test_the_same_head_in_all_chunks() -> None:
    """same `id/created/model` in all chunks"""
    for event in events(told(chat(include_usage=True), SAID)):
        assert event["id"] == "chatcmpl-1"
        assert event["object"] == "chat.completion.chunk"
        assert event["created"] == 1700000000
        assert event["model"] == "qwen3"


@pytest.mark.parametrize("model", ["100%d", "a/b:c", 'quo"te', "模型", "\\"])
def test_any_name_of_a_model(model: str) -> None:
    stream = ChatStream("i", 1, model, n=2)
    raw = stream.first() + stream.delta("x", index=1) + stream.tools([ADD]) + stream.finish("stop") + stream.usage(BILL)
    assert {event["model"] for event in events(raw)} == {model}


@pytest.mark.parametrize("format", FORMATS)
def test_reasoning_first_then_content_and_never_both_in_one_chunk(format: ReasoningFormat) -> None:
    """reasoning deltas first, then content deltas; never both in one chunk"""
    found = deltas(told(chat(format), SAID))[1:]
    assert all(not (delta.keys() & {"reasoning", "reasoning_content"} and "content" in delta) for delta in found)
    kinds = ["content" if "content" in delta else "reasoning" for delta in found if delta]
    assert kinds == sorted(kinds, reverse=True)


@pytest.mark.parametrize("format", FORMATS)
def test_a_stream_says_what_the_whole_reply_says(format: ReasoningFormat) -> None:
    joined: dict[str, str] = {}
    for delta in deltas(told(chat(format), SAID)):
        for name in ("content", "reasoning", "reasoning_content"):
            if name in delta:
                joined[name] = joined.get(name, "") + delta[name]
    whole = message_body(Choice("It is 4", "2 and 2"), format)
    assert joined == {name: text for name, text in whole.items() if name not in ("role", "refusal")}


def test_finish_reason_is_null_but_in_the_last_chunk() -> None:
    """`finish_reason` null in every chunk but the last of a choice"""
    reasons = [event["choices"][0]["finish_reason"] for event in events(told(chat(), SAID, "length"))]
    assert reasons == [None] * (len(reasons) - 1) + ["length"]


def test_usage_only_where_it_was_asked_for() -> None:
    """Usage only if `stream_options.include_usage`: one more chunk with `choices: []`."""
    *chunks, last = events(told(chat(include_usage=True), SAID))
    assert last["choices"] == []
    assert last["usage"] == BILL.body()
    assert all(chunk["usage"] is None for chunk in chunks)
    assert all("usage" not in chunk for chunk in events(told(chat(), SAID)))


def test_the_stream_ends_with_done() -> None:
    assert told(chat(include_usage=True), SAID).endswith(b"}\n\ndata: [DONE]\n\n")


def test_an_error_in_mid_stream() -> None:
    """After it: `data: {"error": {message,type,param,code}}` and close."""
    raw = chat().error(ApiError(502, "the model server died"))
    assert events(raw) == [
        {
            "error": {
                "message": "the model server died",
                "type": "server_error",
                "param": None,
                "code": "upstream_error",
            }
        }
    ]
    assert b"[DONE]" not in raw


def test_what_was_applied_comes_with_the_last_chunk() -> None:
    stream = chat(include_usage=True)
    ponder = Applied("auto", exit="natural").body(BILL)
    (last,) = events(stream.finish("stop", 0, ponder))
    assert last["ponder"] == ponder
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["usage"] is None


def test_keep_alive_is_a_comment() -> None:
    """Comment lines `: keep-alive` while a multi-call method works"""
    assert KEEP_ALIVE == b": keep-alive\n\n"
    assert events(KEEP_ALIVE) == []


# Text


@pytest.mark.parametrize("channel", ["think", "answer"])
@pytest.mark.parametrize("text", ["\n", '"', "\\", "\x00", "你", "\U0001f600", "\u2028", "data: [DONE]\n\n", "\ud83d"])
def test_any_text_is_one_event(text: str, channel: Channel) -> None:
    raw = chat().delta(text, channel)
    assert raw.count(b"\n\n") == 1
    (delta,) = deltas(raw)
    assert set(delta.values()) == {text}


def test_nothing_to_say_is_no_chunk() -> None:
    stream = chat()
    assert stream.delta("") == stream.delta("", "think") == b""
    assert stream.tools(()) == stream.logprobs((), 1) == b""


def test_thinking_after_the_answer_is_not_sent() -> None:
    stream = chat()
    stream.delta("It is 4")
    assert stream.delta("or is it?", "think") == b""
    assert deltas(stream.delta(".")) == [{"content": "."}]


def test_nothing_follows_the_last_chunk() -> None:
    stream = chat()
    stream.finish("stop")
    assert stream.delta("more") == stream.delta("more", "think") == b""


def test_no_thinking_is_sent_to_those_who_want_none() -> None:
    stream = chat("none")
    assert stream.delta("t", "think") == b""
    assert deltas(stream.delta("a")) == [{"content": "a"}]


# Tags


def content(raw: bytes) -> list[str]:
    return [delta["content"] for delta in deltas(raw) if delta.get("content")]


def test_tags_open_and_close_once() -> None:
    stream = chat("think_tags")
    raw = b"".join(stream.delta(text, channel) for text, channel in [*SAID, ("!", "answer")])
    assert content(raw) == ["<think>\n2 and", " 2", "\n</think>\n\n", "It", " is 4", "!"]


def test_tags_are_closed_where_no_answer_comes() -> None:
    stream = chat("think_tags")
    raw = stream.delta("2 and", "think") + stream.finish("length")
    assert content(raw) == ["<think>\n2 and", "\n</think>\n\n"]
    assert events(raw)[-1]["choices"][0]["finish_reason"] == "length"


def test_tags_are_closed_before_tools() -> None:
    stream = chat("think_tags")
    raw = stream.delta("use it", "think") + stream.tools([ADD]) + stream.finish("tool_calls")
    assert content(raw) == ["<think>\nuse it", "\n</think>\n\n"]
    assert "tool_calls" in deltas(raw)[2]


def test_no_tags_without_thinking() -> None:
    stream = chat("think_tags")
    assert content(stream.delta("4") + stream.finish("stop")) == ["4"]


# Progress


@pytest.mark.parametrize(
    ("format", "delta"),
    [
        ("both", {"reasoning_content": "2 of 5 agree\n", "reasoning": "2 of 5 agree\n"}),
        ("reasoning_content", {"reasoning_content": "2 of 5 agree\n"}),
        ("reasoning", {"reasoning": "2 of 5 agree\n"}),
        ("think_tags", {"content": "<think>\n2 of 5 agree\n"}),
    ],
)
def test_progress_is_a_line_of_thinking(format: ReasoningFormat, delta: dict[str, str]) -> None:
    """multi-call methods send `run.note` progress as reasoning deltas"""
    assert deltas(chat(format).note("2 of 5 agree")) == [delta]


def test_progress_is_a_comment_where_no_thinking_can_stand() -> None:
    assert chat("none").note("2 of 5\nagree") == b": 2 of 5 agree\n\n"
    stream = chat()
    stream.delta("4")
    assert stream.note("done") == b": done\n\n"


# Tools


def test_calls_of_tools_carry_an_index() -> None:
    """Tool-call deltas carry `index`; id and name once, arguments in pieces."""
    found = deltas(chat().tools([ADD, ToolCall("call_2", "now", "")]))
    assert found == [
        {
            "tool_calls": [
                {"index": 0, "id": "call_1", "type": "function", "function": {"name": "add", "arguments": ""}}
            ]
        },
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"a": "ü"}'}}]},
        {
            "tool_calls": [
                {"index": 1, "id": "call_2", "type": "function", "function": {"name": "now", "arguments": ""}}
            ]
        },
    ]


# Several choices


def test_choices_are_streamed_side_by_side() -> None:
    stream = chat("think_tags", n=3)
    raw = stream.first() + stream.delta("t", "think", 2) + stream.delta("a", "answer", 0) + stream.delta("b", index=2)
    raw += b"".join(stream.finish("stop", index) for index in range(3))
    assert [delta.get("role") for delta in deltas(raw, 1)] == ["assistant", None]
    assert [delta.get("content") for delta in deltas(raw, 0)] == ["", "a", None]
    assert [delta.get("content") for delta in deltas(raw, 2)] == ["", "<think>\nt", "\n</think>\n\n", "b", None]


# Log-probabilities


def test_logprobs_have_a_chunk_of_their_own() -> None:
    (event,) = events(chat(include_usage=True).logprobs((Logprob("4", -0.5, (("4", -0.5), ("5", -2.0))),), 2))
    choice = event["choices"][0]
    assert (choice["delta"], choice["finish_reason"], event["usage"]) == ({}, None, None)
    assert [rival["token"] for rival in choice["logprobs"]["content"][0]["top_logprobs"]] == ["4", "5"]


# Legacy


def test_a_legacy_stream() -> None:
    stream = CompletionStream("cmpl-1", 1, "m", include_usage=True)
    raw = stream.echo("2+2=") + stream.delta("hm", "think") + stream.delta("4") + stream.note("x")
    raw += stream.logprobs((Logprob("4", -0.5),), 0) + stream.finish("stop", 0, {"method": "auto"})
    raw += stream.usage(BILL) + stream.done()
    found = events(raw)
    assert [event["choices"][0]["text"] for event in found[:-1]] == ["2+2=", "4", "", ""]
    assert {event["object"] for event in found} == {"text_completion"}
    assert found[2]["choices"][0]["logprobs"]["tokens"] == ["4"]
    assert found[3]["choices"][0]["finish_reason"] == "stop"
    assert found[3]["ponder"] == {"method": "auto"}
    assert found[4]["usage"] == BILL.body()
    assert b": x\n\n" in raw
    assert raw.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("said", "texts"),
    [
        (SAID, ["<think>\n2 and", " 2", "\n</think>\n\nIt", " is 4", ""]),
        (SAID[:1], ["<think>\n2 and", "\n</think>\n\n"]),
        (SAID[2:], ["It", " is 4", ""]),
        ([*SAID[2:], ("late", "think")], ["It", " is 4", ""]),
    ],
)
def test_legacy_thinking_between_tags(said: list[tuple[str, Channel]], texts: list[str]) -> None:
    stream = CompletionStream("cmpl-1", 1, "m", "think_tags")
    raw = b"".join(stream.delta(text, channel) for text, channel in said) + stream.finish("stop")
    assert [event["choices"][0]["text"] for event in events(raw)] == texts


@pytest.mark.parametrize("make", [ChatStream, CompletionStream])
def test_both_streams_end_alike(make: Callable[..., ChatStream | CompletionStream]) -> None:
    stream = make("i", 1, "m")
    assert stream.usage(BILL) == b""
    assert events(stream.error(ApiError(504, "too late")))[0]["error"]["code"] == "upstream_timeout"
    assert stream.finish("stop")
    assert stream.delta("more") == b""
