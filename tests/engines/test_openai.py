"""The engine against a loopback server that speaks each dialect."""

from __future__ import annotations

import asyncio
import gc
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from support.server import TEMPLATE, FakeServer, Fault, tokenize, until

from ponder.core.engine import Cap, Chunk, Engine, Sampling, Think
from ponder.core.errors import EngineError, Unsupported
from ponder.core.problem import Image, Message, Problem, Prompt, Text, Thinking, Tool, ToolCall
from ponder.core.run import Run
from ponder.engines.openai import OpenAIEngine
from ponder.steer.ask import Wish, ask

DIALECTS = ("plain", "vllm", "llama.cpp")
THOUGHT = "<think>two and two make four</think>The answer is four."
ASK = Prompt((Message.of("user", "2+2?"),))
ALL = Sampling(max_tokens=200)


async def read(engine: Engine, prompt: Prompt = ASK, sampling: Sampling = ALL) -> list[Chunk]:
    async with engine.stream(prompt, sampling) as chunks:
        return [chunk async for chunk in chunks]


def text(chunks: list[Chunk], channel: str | None = None) -> str:
    return "".join(c.text for c in chunks if channel is None or (c.channel == channel and not c.markup))


@asynccontextmanager
async def opened(server: FakeServer, **options: object) -> AsyncIterator[OpenAIEngine]:
    async with server, OpenAIEngine(server.url, **options) as engine:  # type: ignore[arg-type]
        yield engine


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_a_chat_is_split_counted_and_named(dialect: str) -> None:
    async with opened(server := FakeServer(dialect, THOUGHT)) as engine:
        assert engine.dialect == dialect
        assert engine.name == f"toy@{server.url[7:-3]}"
        chunks = await read(engine)
    assert text(chunks) == THOUGHT
    assert text(chunks, "think") == "two and two make four"
    assert text(chunks, "answer") == "The answer is four."
    assert sum(c.tokens for c in chunks) == server.generated == len(tokenize(THOUGHT))
    assert [c.finish for c in chunks if c.finish] == ["stop"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.generated == server.generated
    assert all(c.exact for c in chunks) == (dialect != "plain")


@pytest.mark.parametrize(("dialect", "most"), [("plain", 8192), ("vllm", 4096), ("llama.cpp", 2048)])
async def test_no_more_is_asked_for_than_the_context_holds(dialect: str, most: int) -> None:
    async with opened(server := FakeServer(dialect, THOUGHT)) as engine:
        assert text(await read(engine, ASK, Sampling(max_tokens=8192))) == THOUGHT
        assert server.body["max_tokens"] == most
        await read(engine, ASK, Sampling(max_tokens=100))
        assert server.body["max_tokens"] == 100


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
@pytest.mark.parametrize("template_opens", [False, True])
async def test_thinking_in_a_field_reads_like_thinking_in_marks(dialect: str, name: str, template_opens: bool) -> None:
    async with opened(server := FakeServer(dialect, THOUGHT, parser=name, opened=template_opens)) as engine:
        chunks = await read(engine)
    assert text(chunks, "think") == "two and two make four"
    assert text(chunks, "answer") == "The answer is four."
    opening = "<think>" if dialect == "plain" or not template_opens else ""
    assert text(chunks) == f"{opening}two and two make four</think>The answer is four."
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.generated == server.generated


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp"])
async def test_a_thought_that_the_template_opened_has_no_opening_mark(dialect: str) -> None:
    async with opened(FakeServer(dialect, THOUGHT, opened=True)) as engine:
        assert engine.think == Think("<think>", "</think>", opened=True)
        chunks = await read(engine)
        assert text(chunks, "think") == "two and two make four"
        assert text(chunks, "answer") == "The answer is four."
        rest = await read(engine, ASK + "two and")
    assert text(rest) == " two make four</think>The answer is four."
    assert text(rest, "think") == " two make four"


@pytest.mark.parametrize("dialect", ["vllm", "llama.cpp"])
async def test_a_half_written_reply_goes_on_from_text_and_from_ids(dialect: str) -> None:
    async with opened(server := FakeServer(dialect, THOUGHT)) as engine:
        assert {Cap.PREFILL, Cap.TOKEN_IDS} <= engine.caps
        run = Run(engine, sampling=Sampling(max_tokens=3))
        prompt = ASK + "<think>"
        parts = []
        while True:
            call = await run.generate(prompt)
            parts.append(call.text)
            assert call.token_ids or not call.text
            prompt += call
            if call.finish == "stop":
                break
        assert "<think>" + "".join(parts) == THOUGHT
        assert run.trace.tokens == server.generated == len(tokenize(THOUGHT)) - 1
        assert run.trace.exact
    ids = server.body["prompt"]
    assert any(isinstance(i, int) for i in ids)
    assert server.vocabulary.text([i for i in ids if isinstance(i, int)])


async def test_the_head_of_a_conversation_is_rendered_once() -> None:
    async with opened(server := FakeServer("vllm", THOUGHT)) as engine:
        before = len(server.paths())
        await read(engine, ASK + "<think>two")
        await read(engine, ASK + "<think>two and")
    assert server.paths()[before:] == ["/tokenize", "/tokenize", "/v1/completions", "/tokenize", "/v1/completions"]


async def test_a_plain_server_continues_only_with_a_template(tmp_path: Path) -> None:
    async with opened(FakeServer("plain", THOUGHT)) as engine:
        assert Cap.PREFILL not in engine.caps
        with pytest.raises(Unsupported, match="chat_template"):
            await read(engine, ASK + "<think>two")
    path = tmp_path / "toy.jinja"
    path.write_text(TEMPLATE)
    async with opened(server := FakeServer("plain", THOUGHT), chat_template=path) as engine:
        assert Cap.PREFILL in engine.caps
        assert engine.think == Think("<think>", "</think>")
        chunks = await read(engine, ASK + "<think>two")
    assert server.body["prompt"] == "<|user|>2+2?<|assistant|><think>two"
    assert text(chunks, "think") == " and two make four"
    assert text(chunks, "answer") == "The answer is four."


@pytest.mark.parametrize(
    ("dialect", "prefill"), [("plain", ""), ("vllm", ""), ("vllm", "word"), ("llama.cpp", ""), ("llama.cpp", "word")]
)
async def test_leaving_stops_the_server(dialect: str, prefill: str) -> None:
    async with opened(server := FakeServer(dialect, "word " * 500, tick=0.004)) as engine:
        seen = 0
        async with engine.stream(ASK + prefill, Sampling(max_tokens=400)) as chunks:
            async for chunk in chunks:
                seen += chunk.tokens
                if seen >= 20:
                    break
        await asyncio.sleep(0.06)
        assert server.generated - seen <= 2
        assert server.streams == 0


async def test_leaving_eight_streams_stops_them_all() -> None:
    async with opened(server := FakeServer("vllm", "word " * 500, tick=0.01)) as engine:

        async def some(limit: int) -> int:
            seen = 0
            async with engine.stream(ASK, Sampling(max_tokens=400)) as chunks:
                async for chunk in chunks:
                    seen += chunk.tokens
                    if seen >= limit:
                        break
            return seen

        seen = await asyncio.gather(*(some(5 + n) for n in range(8)))
        await asyncio.sleep(0.1)
        assert server.streams == 0
        assert server.generated - sum(seen) <= 16


async def test_cancelling_stops_the_server_in_any_state() -> None:
    async with opened(server := FakeServer("plain", "word " * 500, tick=0.005, faults={0: Fault("slow")})) as engine:
        waiting = asyncio.create_task(read(engine))
        await until(lambda: server.streams > 0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await asyncio.sleep(0.05)
        assert server.streams == 0
        reading = asyncio.create_task(read(engine))
        await until(lambda: server.generated >= 5)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        generated = server.generated
        await asyncio.sleep(0.05)
        assert server.generated - generated <= 2
        gc.collect()


async def test_connections_are_used_again_and_a_dead_one_costs_nothing() -> None:
    async with opened(server := FakeServer("plain")) as engine:
        for _ in range(3):
            await read(engine)
        assert server.connections == 1
        assert server.generated == 3 * 4
        server.faults = {3: Fault("close")}
        assert text(await read(engine)) == "The answer is four."
        assert server.generations == 5


async def test_every_endpoint_leaves_its_connection_for_the_next_call() -> None:
    for dialect in ("vllm", "llama.cpp"):
        async with opened(server := FakeServer(dialect, THOUGHT)) as engine:
            for prompt in (ASK, ASK + "<think>", ASK + "<think>two"):
                await read(engine, prompt)
            assert server.connections == 1


async def test_a_fresh_connection_that_dies_is_an_error() -> None:
    async with opened(FakeServer("plain", faults={0: Fault("close"), 1: Fault("close")})) as engine:
        with pytest.raises(EngineError, match="closed the connection") as caught:
            await read(engine)
    assert caught.value.retry


TOOL = Tool("add", '{"type": "function", "function": {"name": "add", "parameters": {}}}')
CALL = {"id": "c1", "name": "add", "arguments": '{"a": 2, "b": 2}'}


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_tools_are_offered_and_called(dialect: str) -> None:
    async with opened(server := FakeServer(dialect, "Let me see.", tools=(CALL,))) as engine:
        chunks = await read(engine, Prompt(ASK.messages, (TOOL,)))
    assert server.body["tools"] == [{"type": "function", "function": {"name": "add", "parameters": {}}}]
    assert chunks[-1].tool_calls == (ToolCall("c1", "add", '{"a": 2, "b": 2}'),)
    assert chunks[-1].finish == "tool_calls"
    assert text(chunks) == "Let me see."


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_the_limit_ends_a_reply(dialect: str) -> None:
    async with opened(server := FakeServer(dialect, THOUGHT)) as engine:
        call = await Run(engine, sampling=Sampling(max_tokens=3)).generate(ASK)
    assert (call.finish, call.tokens, server.generated) == ("length", 3, 3)
    assert call.thinking == "two and"


@pytest.mark.parametrize(("dialect", "told"), [("plain", None), ("vllm", " make"), ("llama.cpp", " make")])
@pytest.mark.parametrize("prefill", ["", "<think>two"])
async def test_a_stop_string_ends_a_reply_and_is_named_where_the_server_does(
    dialect: str, told: str | None, prefill: str, tmp_path: Path
) -> None:
    path = tmp_path / "t.jinja"
    path.write_text(TEMPLATE)
    options = {"chat_template": path} if dialect == "plain" else {}
    async with opened(server := FakeServer(dialect, THOUGHT), **options) as engine:
        call = await Run(engine).generate(ASK + prefill, stop=("nothing", " make"))
    assert server.body["stop"] == ["nothing", " make"]
    assert prefill + call.text == "<think>two and two"
    assert (call.finish, call.matched_stop) == ("stop", told)
    assert call.tokens == server.generated


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("prefill", ["", "<think>two"])
async def test_log_probabilities_come_with_their_tokens(dialect: str, prefill: str, tmp_path: Path) -> None:
    path = tmp_path / "t.jinja"
    path.write_text(TEMPLATE)
    options = {"chat_template": path} if dialect == "plain" else {}
    async with opened(server := FakeServer(dialect, THOUGHT), **options) as engine:
        call = await Run(engine).generate(ASK + prefill, logprobs=1)
    assert "".join(entry.token for entry in call.logprobs) == call.text
    assert len(call.logprobs) == call.tokens == server.generated
    assert all(entry.top[0] == (entry.token, -0.5) for entry in call.logprobs)


async def test_log_probabilities_that_do_not_come_are_an_error() -> None:
    async with opened(FakeServer("llama.cpp", parser="reasoning_content")) as engine:
        with pytest.raises(Unsupported, match="adapters"):
            await read(engine, sampling=Sampling(adapters=(("a", 1.0),)))
        assert text(await read(engine, sampling=Sampling(logprobs=1))) == "The answer is four."
    silent = FakeServer("plain", "The answer.")
    silent.logprobs = False
    async with opened(silent) as engine:
        with pytest.raises(EngineError, match="asked for log-probabilities and sent none"):
            await read(engine, sampling=Sampling(logprobs=1))
        silent.reply = ""
        assert [chunk.finish for chunk in await read(engine, sampling=Sampling(logprobs=1))] == ["stop"]


@pytest.mark.parametrize("group", [2, 5])
@pytest.mark.parametrize("prefill", ["", "<think>two"])
async def test_events_of_several_tokens_are_counted_in_full(group: int, prefill: str) -> None:
    async with opened(server := FakeServer("vllm", THOUGHT, group=group)) as engine:
        run = Run(engine)
        call = await run.generate(ASK + prefill)
        assert call.thinking == "two and two make four".removeprefix(prefill.removeprefix("<think>"))
        assert call.exact
        assert call.tokens == server.generated
        seen = 0
        async with engine.stream(ASK + prefill, Sampling(max_tokens=400)) as chunks:
            async for chunk in chunks:
                seen += chunk.tokens
        assert seen == call.tokens


async def test_a_server_without_usage_is_an_estimate() -> None:
    async with opened(server := FakeServer("plain", THOUGHT, usage=False, group=3)) as engine:
        call = await Run(engine).generate(ASK)
    assert not call.exact
    assert call.tokens == -(-server.generated // 3)


async def test_a_count_at_the_end_is_split_by_what_was_seen() -> None:
    async with opened(server := FakeServer("plain", THOUGHT, group=3)) as engine:
        call = await Run(engine).generate(ASK)
    assert call.exact
    assert call.tokens == server.generated == 11
    assert 0 < call.answer_tokens < call.think_tokens + 4


@pytest.mark.parametrize(
    ("dialect", "field", "value"),
    [
        ("plain", "reasoning_effort", "low"),
        ("vllm", "reasoning_effort", "low"),
        ("llama.cpp", "chat_template_kwargs", {"reasoning_effort": "low"}),
    ],
)
async def test_effort_reaches_the_server(dialect: str, field: str, value: object) -> None:
    async with opened(server := FakeServer(dialect)) as engine:
        await read(engine, Prompt(ASK.messages, thinking=Thinking.effort("low")))
    assert server.body[field] == value


async def test_thinking_off_means_that_no_thought_was_opened() -> None:
    async with opened(server := FakeServer("vllm", "The answer is four.", opened=True)) as engine:
        chunks = await read(engine, Prompt(ASK.messages, thinking=Thinking.off()))
    assert server.body["chat_template_kwargs"]["enable_thinking"] is False
    assert text(chunks, "answer") == "The answer is four."


UNCONFIGURED = {
    "message": "thinking_token_budget is set but reasoning_config is not configured. Please set --reasoning-parser "
    "and/or --reasoning-config to use thinking_token_budget.",
    "type": "BadRequestError",
    "param": None,
    "code": 400,
}
"""What vLLM 0.32 sends as the first event of a stream, after a status of 200."""


@pytest.mark.parametrize("marks", [Think("<think>", "</think>"), Think()])
async def test_a_server_that_refuses_a_budget_is_not_told_one_again(marks: Think) -> None:
    refused = Fault("error", body=json.dumps({"error": UNCONFIGURED}))
    asked = Prompt(ASK.messages, thinking=Thinking.budget(4))
    async with opened(server := FakeServer("vllm", THOUGHT, faults={0: refused}), think=marks) as engine:
        with pytest.raises(Unsupported, match="reasoning_config is not configured"):
            await read(engine, asked)
        assert server.body["thinking_token_budget"] == 4
        with pytest.raises(Unsupported, match="no word for a thinking budget of 4 tokens"):
            await read(engine, asked)
        assert server.generations == 1
        # A model without marks on a server without a parser does not think.
        assert (Cap.THINKING in engine.caps) == bool(marks)


@pytest.mark.parametrize("body", [UNCONFIGURED, {"message": "thinking_token_budget must be whole", "code": 500}])
async def test_only_a_refusal_of_the_budget_itself_counts(body: dict[str, object]) -> None:
    failed = Fault("error", body=json.dumps({"error": body}))
    asked = ASK if body is UNCONFIGURED else Prompt(ASK.messages, thinking=Thinking.budget(4))
    async with opened(server := FakeServer("vllm", THOUGHT, faults={0: failed})) as engine:
        with pytest.raises(EngineError, match="broke off"):
            await read(engine, asked)
        await read(engine, Prompt(ASK.messages, thinking=Thinking.budget(4)))
        assert server.body["thinking_token_budget"] == 4


async def test_a_refused_budget_is_kept_by_hand_within_the_same_question() -> None:
    refused = Fault("error", body=json.dumps({"error": UNCONFIGURED}))
    wish = Wish(Thinking.budget(4), 4)
    for marks, way in ((Think("<think>", "</think>"), "prefill"), (Think(), "none")):
        async with opened(server := FakeServer("vllm", THOUGHT, faults={0: refused}), think=marks) as engine:
            run = Run(engine)
            solution = await ask(Problem.of("2+2?"), run, wish)
        # By hand the reply is written to the raw endpoint; without marks there is no thought to keep short.
        assert ("prompt" in server.body, solution.evidence["enforced_by"]) == (bool(marks), way)


async def test_an_empty_thought_that_the_server_took_away_leaves_the_answer_an_answer() -> None:
    async with opened(server := FakeServer("vllm", THOUGHT, opened=True, parser="reasoning")) as engine:
        first = await read(engine)
        assert text(first) == text(await read(engine)) == THOUGHT.removeprefix("<think>")
        server.reply = "<think></think>Four."
        assert text(await read(engine), "answer") == "Four."
    async with opened(FakeServer("vllm", "<think></think>Four.", opened=True, parser="reasoning")) as engine:
        chunks = await read(engine, Prompt(ASK.messages, thinking=Thinking.budget(0)))
        assert text(chunks, "answer") == "Four."


async def test_a_response_format_goes_with_a_chat_or_a_closed_thought() -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    asked = Prompt(ASK.messages, response_format=json.dumps(schema))
    for dialect in DIALECTS:
        async with opened(server := FakeServer(dialect, "<think>a</think>{}")) as engine:
            await read(engine, asked)
            assert server.body["response_format"] == schema
            if dialect == "plain":
                continue
            await read(engine, asked + "<think>a</think>")
            if dialect == "vllm":
                assert server.body["response_format"] == schema
            else:
                assert server.body["json_schema"] == {"type": "object"}
            generations = server.generations
            with pytest.raises(Unsupported, match="close the thought first"):
                await read(engine, asked + "<think>a")
            assert server.generations == generations


async def test_pictures_and_earlier_reasoning_go_over_the_wire() -> None:
    earlier = Message("assistant", (Text("4"),), reasoning="two and two")
    picture = Message("user", (Text("and this?"), Image("data:image/png;base64,AA==")))
    async with opened(server := FakeServer("vllm")) as engine:
        await read(engine, Prompt((*ASK.messages, earlier, picture)))
    assert server.body["messages"][1] == {"role": "assistant", "content": "4", "reasoning": "two and two"}
    assert server.body["messages"][2]["content"][1]["image_url"] == {"url": "data:image/png;base64,AA=="}


async def test_a_run_through_a_method_costs_what_was_generated() -> None:
    from ponder.methods.vote.sample import Sample

    async with opened(server := FakeServer("vllm", THOUGHT)) as engine:
        run = Run(engine)
        solution = await Sample().solve(Problem.of("2+2?"), run)
    assert solution.answer == "The answer is four."
    assert solution.thinking == "two and two make four"
    assert run.trace.tokens == server.generated


async def test_a_deadline_leaves_the_stream_and_bills_what_was_read() -> None:
    async with opened(server := FakeServer("vllm", "word " * 500, tick=0.005)) as engine:
        run = Run(engine, deadline=time.monotonic() + 0.15, sampling=Sampling(max_tokens=400))
        call = await run.generate(ASK)
        await asyncio.sleep(0.05)
    assert call.finish == "deadline"
    assert call.tokens <= server.generated <= call.tokens + 2
    assert call.prompt_tokens == len(tokenize("<|user|>2+2?<|assistant|>"))


async def test_a_budget_cuts_a_stream() -> None:
    async with opened(server := FakeServer("llama.cpp", "word " * 50)) as engine:
        run = Run(engine, budget=7)
        call = await run.generate(ASK)
    assert (call.finish, call.tokens, server.generated) == ("budget", 7, 7)
