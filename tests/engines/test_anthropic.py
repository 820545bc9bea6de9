"""The messages API against a server on the loopback that plays its wire fixture."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.played import Json, Played, load
from support.server import FakeServer, until

from ponder.core.engine import Cap, Chunk, Sampling, Usage
from ponder.core.errors import EngineError, OptionError, Unsupported
from ponder.core.problem import Message, Prompt, Thinking, Tool, ToolCall
from ponder.core.run import Run
from ponder.engines.anthropic import AnthropicEngine, speaks_messages
from ponder.engines.open import EngineOptions, open_engine

ASK = Prompt((Message.of("user", "How is the weather in Köln?"),))
PLAIN = Sampling()
THOUGHT = "The weather must be asked for."
SIGNED = [
    {"type": "thinking", "thinking": THOUGHT, "signature": "EqQBCgIY=="},
    {"type": "redacted_thinking", "data": "Emw3"},
]


def saying(text: str, stop: str = "end_turn", sequence: str | None = None) -> list[Json]:
    """Return the events of a plain reply."""
    return [
        {"type": "message_start", "message": {"usage": {"input_tokens": 9, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": word}}
            for word in text.split(" ")
        ),
        {"type": "content_block_stop", "index": 0},
        {
            "type": "message_delta",
            "delta": {"stop_reason": stop, "stop_sequence": sequence},
            "usage": {"output_tokens": 5},
        },
        {"type": "message_stop"},
    ]


def engine(server: Played, **options: object) -> AnthropicEngine:
    return AnthropicEngine(server.url, "claude-toy", **options)  # type: ignore[arg-type]


async def read(opened: AnthropicEngine, prompt: Prompt = ASK, sampling: Sampling = PLAIN) -> list[Chunk]:
    async with opened.stream(prompt, sampling) as chunks:
        return [chunk async for chunk in chunks]


def text(chunks: Sequence[Chunk], channel: str) -> str:
    return "".join(c.text for c in chunks if c.channel == channel and not c.markup)


async def test_a_reply_is_read_block_by_block() -> None:
    async with Played(load("anthropic")) as server, engine(server) as opened:
        chunks = await read(opened)
    assert text(chunks, "think") == THOUGHT
    assert text(chunks, "answer") == "Let me look."
    assert "".join(c.text for c in chunks) == f"<think>{THOUGHT}</think>Let me look."
    assert [c.finish for c in chunks if c.finish] == ["tool_calls"]
    assert chunks[-1].tool_calls == (
        ToolCall("toolu_1", "weather", '{"place": "Köln"}'),
        ToolCall("toolu_2", "clock", "{}"),
    )
    assert chunks[0].usage == Usage(117, None, 100)
    assert chunks[-1].usage == Usage(117, 60, 100, 40)
    assert not any(c.exact for c in chunks if c.text)


async def test_a_run_bills_what_the_server_counted() -> None:
    async with Played(load("anthropic")) as server, engine(server) as opened:
        run = Run(opened)
        call = await run.generate(ASK)
    assert (call.think_tokens, call.answer_tokens, call.prompt_tokens, call.cached_tokens) == (40, 20, 117, 100)
    assert call.exact
    assert run.trace.tokens == 60


async def test_who_asks_is_said_in_headers_and_the_key_is_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", "sk-ant-secret")
    async with Played(load("anthropic")) as server, engine(server, key_env="TOY_KEY") as opened:
        await read(opened)
        server.status, server.refusal = 401, {"error": {"message": "bad key sk-ant-secret"}}
        with pytest.raises(EngineError) as caught:
            await read(opened)
    for headers in server.seen_headers:
        assert headers["x-api-key"] == "sk-ant-secret"
        assert headers["anthropic-version"] == "2023-06-01"
        assert "Authorization" not in headers
    assert "secret" not in str(caught.value)
    assert "TOY_KEY" in str(caught.value)


async def test_a_service_that_tells_nothing_is_taken_as_it_is_and_one_that_is_down_is_not() -> None:
    async with Played(load("anthropic")) as server:
        server.answers.clear()
        async with engine(server) as opened:
            assert not opened.abilities.told
    with pytest.raises(EngineError, match="cannot be reached"):
        async with engine(server):
            pass


async def test_signed_thoughts_go_back_unchanged_before_the_calls_they_led_to() -> None:
    calls = (ToolCall("toolu_1", "weather", '{"place": "Köln"}'), ToolCall("toolu_2", "clock", "{}"))
    said = replace(Message.of("assistant", "Let me look."), tool_calls=calls, reasoning="what a client made of it")
    results = [
        replace(Message.of("tool", answer), tool_call_id=call.id) for call, answer in zip(calls, "ab", strict=True)
    ]
    follow = Prompt((*ASK.messages, said, *results, Message.of("user", "And?")))
    async with Played(load("anthropic")) as server, engine(server) as opened:
        await read(opened)
        server.events = saying("Rain.")
        chunks = await read(opened, follow)
        turns = server.body["messages"]
        assert text(chunks, "answer") == "Rain."
        assert [turn["role"] for turn in turns] == ["user", "assistant", "user"]
        assert turns[1]["content"] == [
            *SIGNED,
            {"type": "text", "text": "Let me look."},
            {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"place": "Köln"}},
            {"type": "tool_use", "id": "toolu_2", "name": "clock", "input": {}},
        ]
        assert turns[2]["content"] == [
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": [{"type": "text", "text": "a"}]},
            {"type": "tool_result", "tool_use_id": "toolu_2", "content": [{"type": "text", "text": "b"}]},
            {"type": "text", "text": "And?"},
        ]
    async with Played(load("anthropic")) as server, engine(server) as other:
        await read(other, follow)
        assert [block["type"] for block in server.body["messages"][1]["content"]] == ["text", "tool_use", "tool_use"]


@pytest.mark.parametrize(
    ("stop", "sequence", "finish"),
    [
        ("end_turn", None, "stop"),
        ("stop_sequence", "X", "stop"),
        ("max_tokens", None, "length"),
        ("model_context_window_exceeded", None, "length"),
        ("pause_turn", None, "stop"),
    ],
)
async def test_how_a_reply_ends(stop: str, sequence: str | None, finish: str) -> None:
    async with Played(load("anthropic")) as server, engine(server) as opened:
        server.events = saying("All done.", stop, sequence)
        last = (await read(opened, sampling=Sampling(stop=("X",))))[-1]
    assert (last.finish, last.matched_stop, last.usage) == (finish, sequence, Usage(9, 5))
    assert server.body["stop_sequences"] == ["X"]


async def test_a_refusal_and_a_stream_without_an_end_are_errors() -> None:
    async with Played(load("anthropic")) as server, engine(server) as opened:
        server.events = saying("I", "refusal")
        with pytest.raises(EngineError, match="refusal") as caught:
            await read(opened)
        assert not caught.value.retry
        server.events = saying("I")[:3]
        with pytest.raises(EngineError, match="without a finish") as caught:
            await read(opened)
        assert caught.value.retry


@pytest.mark.parametrize(
    ("kind", "status", "retry"),
    [("overloaded_error", 529, True), ("rate_limit_error", 429, True), ("invalid_request_error", 400, False)],
)
async def test_an_error_in_the_stream_has_the_status_of_its_type(kind: str, status: int, retry: bool) -> None:
    async with Played(load("anthropic")) as server, engine(server) as opened:
        server.events = [*saying("I")[:3], {"type": "error", "error": {"type": kind, "message": "Overloaded"}}]
        with pytest.raises(EngineError, match="Overloaded") as caught:
            await read(opened)
    assert (caught.value.status, caught.value.retry) == (status, retry)


async def test_a_refused_call_says_when_to_come_back() -> None:
    async with Played(load("anthropic")) as server, engine(server) as opened:
        server.status, server.headers = 429, {"Retry-After": "7"}
        server.refusal = {"type": "error", "error": {"type": "rate_limit_error", "message": "too many tokens"}}
        with pytest.raises(EngineError, match="too many tokens") as caught:
            await read(opened)
    assert (caught.value.status, caught.value.retry, caught.value.retry_after) == (429, True, 7.0)


async def test_events_and_blocks_of_later_versions_say_nothing() -> None:
    async with Played(load("anthropic")) as server, engine(server) as opened:
        server.events = saying("Fine.")
        server.events[1:1] = [
            {"type": "content_block_start", "index": 7, "content_block": {"type": "novelty", "text": None}},
            {"type": "content_block_delta", "index": 7, "delta": {"type": "novel_delta", "x": 1}},
            {"type": "content_block_delta", "index": 9, "delta": {"type": "input_json_delta", "partial_json": "{"}},
            {"type": "tomorrow"},
        ]
        chunks = await read(opened)
    assert "".join(c.text for c in chunks) == "Fine."


async def test_leaving_ends_the_stream_on_the_server() -> None:
    async with Played(load("anthropic"), tick=0.02) as server, engine(server) as opened:
        server.events = saying("word " * 200)
        async with opened.stream(ASK, Sampling()) as chunks:
            seen = 0
            async for chunk in chunks:
                seen += bool(chunk.text)
                if seen == 5:
                    break
        await until(lambda: server.left == 1)
        sent = server.sent
        await asyncio.sleep(0.05)
        assert server.sent == sent <= 9


async def test_what_a_model_takes_is_asked_once_and_told_to_methods() -> None:
    fixture = load("anthropic")
    async with Played(fixture) as server, engine(server) as opened:
        assert opened.caps == {Cap.TOOLS, Cap.IMAGES, Cap.THINKING}
        assert (opened.context_length, opened.name) == (200000, f"claude-toy@{server.url[7:]}")
        assert not opened.think
        abilities = server.answers["GET /v1/models/claude-toy"]["capabilities"]
        abilities["image_input"] = {"supported": False}
        abilities["effort"] = {"supported": False}
        abilities["thinking"] = {"types": {"adaptive": {"supported": False}, "enabled": {"supported": False}}}
        async with engine(server) as plain:
            assert plain.caps == {Cap.TOOLS}
        with pytest.raises(Unsupported, match="no effort 'low'"):
            await read(plain, replace(ASK, thinking=Thinking.effort("low")))


async def test_it_is_opened_by_its_dialect_or_its_address() -> None:
    assert speaks_messages("https://api.anthropic.com")
    assert speaks_messages("https://api.anthropic.com/v1")
    assert not speaks_messages("https://api.anthropic.com.example.org/v1")
    async with Played(load("anthropic")) as server:
        options = EngineOptions(dialect="anthropic")
        async with open_engine(f"{server.url}#claude-toy", options) as loaded:
            call = await Run(loaded.engine).generate(ASK)
            assert call.answer == "Let me look."
            assert loaded.concurrency == 32
        with pytest.raises(OptionError, match="model's name"):
            async with open_engine(server.url, options):
                pass


async def test_tools_and_pictures_reach_the_service() -> None:
    spec = '{"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}'
    async with Played(load("anthropic")) as server, engine(server) as opened:
        await read(opened, replace(ASK, tools=(Tool("f", spec),)))
    assert server.body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


async def test_a_thought_that_the_limit_cut_is_not_closed() -> None:
    async with Played(load("anthropic")) as server, engine(server) as opened:
        thinking = server.events[1:8]
        server.events = [*saying("")[:1], *thinking, *saying("", "max_tokens")[-2:]]
        chunks = await read(opened)
    assert "".join(c.text for c in chunks) == f"<think>{THOUGHT}"
    assert chunks[-1].finish == "length"


async def test_a_key_that_a_service_refuses_ends_its_opening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", "sk-wrong")
    async with FakeServer(key="sk-right") as server:
        with pytest.raises(EngineError, match="TOY_KEY"):
            async with AnthropicEngine(server.url, "toy", key_env="TOY_KEY"):
                pass
