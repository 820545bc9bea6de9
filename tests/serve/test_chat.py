from __future__ import annotations

import asyncio
import json

import pytest
from support.gateway import USER, echoing, running
from support.server import FakeServer, until

from ponder.core.engine import Cap, Sampling
from ponder.core.problem import Prompt
from ponder.engines.echo import CAPS, Echo, Fault
from ponder.engines.openai import OpenAIEngine
from ponder.serve.settings import Defaults, Limits, Model, Server, Settings, Upstream

SAID = "<think>six times seven </think>It is 42."


def by(method: str, **more: object) -> Settings:
    """Settings whose one model is answered by a method."""
    return Settings(
        engines={"main": Upstream(model="echo")},
        models={"echo": Model("echo", method={"method": method, **more})},  # type: ignore[dict-item]
    )


async def test_a_chat_is_answered_whole() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        reply = await gateway.ask()
    assert reply.status == 200, reply.text
    body = reply.json
    (choice,) = body["choices"]
    assert body["id"].startswith("chatcmpl-")
    assert (body["object"], body["model"]) == ("chat.completion", "echo")
    assert choice["message"]["content"] == "It is 42."
    assert choice["message"]["reasoning_content"] == choice["message"]["reasoning"] == "six times seven "
    assert choice["finish_reason"] == "stop"
    assert body["usage"]["completion_tokens"] == 8
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    assert body["ponder"]["method"] == "sample"
    assert body["ponder"]["tokens"] == {"think": 5, "answer": 3}
    assert body["ponder"]["saved"] is None, "no recorded run backs a comparison"
    assert reply.headers["x-ponder-method"] == "sample"
    assert reply.headers["x-request-id"]


async def test_a_chat_is_streamed() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        reply = await gateway.ask(stream=True, stream_options={"include_usage": True})
    assert reply.status == 200, reply.text
    assert reply.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["Cache-Control"] == "no-cache"
    assert reply.headers["X-Accel-Buffering"] == "no"
    assert "Content-Length" not in reply.headers
    assert reply.said() == "It is 42."
    assert reply.said("reasoning_content") == reply.said("reasoning") == "six times seven "
    assert reply.events[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert reply.events[-1]["choices"] == []
    assert reply.events[-1]["usage"]["completion_tokens"] == 8
    assert reply.text.endswith("data: [DONE]\n\n")
    last = reply.events[-2]
    assert last["choices"][0]["finish_reason"] == "stop"
    assert last["ponder"]["tokens"] == {"think": 5, "answer": 3}
    assert {event["id"] for event in reply.events} == {last["id"]}
    assert [event["choices"][0]["finish_reason"] for event in reply.events[:-2]] == [None] * (len(reply.events) - 2)


async def test_usage_is_streamed_only_where_it_was_asked_for() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        reply = await gateway.ask(stream=True)
    assert all("usage" not in event for event in reply.events)


async def test_streamed_and_whole_replies_say_the_same() -> None:
    async with running(engines={"main": Echo()}) as gateway:
        whole = (await gateway.ask(seed=5)).json["choices"][0]["message"]
        streamed = await gateway.ask(seed=5, stream=True)
    assert streamed.said() == whole["content"]
    assert streamed.said("reasoning") == whole["reasoning"]


async def test_text_leaves_as_it_comes() -> None:
    """The first words are with the client long before the model has ended."""
    engine = Echo("<think>one two three </think>" + "word " * 40, delay=0.02)
    async with running(engines={"main": engine}) as gateway:
        body = {"model": "echo", "stream": True, "messages": USER}
        async with gateway.session.post(f"{gateway.url}/v1/chat/completions", json=body) as reply:
            while b"word" not in await reply.content.readline():
                pass
            generated = engine.generated
            rest = await reply.content.read()
    assert generated < 20, "the reply was held back"
    assert b"[DONE]" in rest


async def test_each_choice_has_seeds_of_its_own_and_all_are_billed() -> None:
    async with running(engines={"main": Echo()}) as gateway:
        one, again = await gateway.ask(n=4, seed=3), await gateway.ask(n=4, seed=3)
        other = await gateway.ask(n=4, seed=4)
        bill = gateway.told.calls
    texts = [choice["message"]["reasoning"] for choice in one.json["choices"]]
    assert [choice["index"] for choice in one.json["choices"]] == [0, 1, 2, 3]
    assert len(set(texts)) == 4
    assert texts == [choice["message"]["reasoning"] for choice in again.json["choices"]]
    assert texts != [choice["message"]["reasoning"] for choice in other.json["choices"]]
    assert one.json["usage"]["completion_tokens"] == sum(call.tokens for call in bill[:4])


async def test_choices_are_streamed_side_by_side() -> None:
    async with running(engines={"main": Echo()}) as gateway:
        whole = (await gateway.ask(n=3, seed=3)).json["choices"]
        reply = await gateway.ask(n=3, seed=3, stream=True)
    assert [reply.said(index=i) for i in range(3)] == [choice["message"]["content"] for choice in whole]
    ends = [c for event in reply.events for c in event["choices"] if c["finish_reason"]]
    assert sorted(c["index"] for c in ends) == [0, 1, 2]
    assert sum("ponder" in event for event in reply.events) == 1


async def test_more_choices_than_allowed_are_refused() -> None:
    settings = Settings(limits=Limits(choices=2), engines=echoing().engines, models=echoing().models)
    async with running(settings, {"main": Echo(SAID)}) as gateway:
        reply = await gateway.ask(n=3)
    assert reply.status == 400
    assert reply.error["param"] == "n"


async def test_a_limit_that_hits_is_a_length() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        short = await gateway.ask(max_completion_tokens=6)
        thought = await gateway.ask(max_tokens=3)
        budget = await gateway.ask(ponder={"budget": 7})
    assert short.json["choices"][0]["finish_reason"] == "length"
    assert short.json["choices"][0]["message"]["content"] == "It "
    assert thought.json["choices"][0]["finish_reason"] == "length"
    assert thought.json["choices"][0]["message"]["content"] == ""
    assert budget.json["choices"][0]["finish_reason"] == "length"
    assert budget.json["usage"]["completion_tokens"] == 7


async def test_one_budget_holds_for_all_choices() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        reply = await gateway.ask(n=3, ponder={"budget": 10})
    assert reply.json["usage"]["completion_tokens"] <= 12, "concurrent choices may each be one token over"


async def test_the_model_s_table_gives_what_the_request_does_not() -> None:
    model = Model("echo", method={"method": "sample"}, defaults=Defaults(max_tokens=6, temperature=0.0))
    async with running(echoing(echo=model), {"main": Echo(SAID)}) as gateway:
        table, asked = await gateway.ask(), await gateway.ask(max_tokens=7)
    assert table.json["usage"]["completion_tokens"] == 6
    assert asked.json["usage"]["completion_tokens"] == 7


@pytest.mark.parametrize("stream", [False, True])
async def test_a_stop_string_binds_the_answer_and_not_the_thought(stream: bool) -> None:
    engine = Echo("<think>stop here, and STOP there </think>one two STOP three")
    async with running(engines={"main": engine}) as gateway:
        reply = await gateway.ask(stop=["STOP"], stream=stream)
    message = {"content": reply.said(), "reasoning": reply.said("reasoning")} if stream else None
    message = message or reply.json["choices"][0]["message"]
    assert message["content"] == "one two "
    assert message["reasoning"] == "stop here, and STOP there "
    assert engine.open_streams == 0


async def test_log_probabilities_come_with_the_answer() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        whole = await gateway.ask(logprobs=True, top_logprobs=2)
        streamed = await gateway.ask(logprobs=True, top_logprobs=2, stream=True)
    tokens = whole.json["choices"][0]["logprobs"]["content"]
    assert "".join(token["token"] for token in tokens) == "It is 42."
    assert all(len(token["top_logprobs"]) == 2 for token in tokens)
    told = [c["logprobs"]["content"] for e in streamed.events for c in e["choices"] if c["logprobs"]]
    assert "".join(entry["token"] for part in told for entry in part) == "It is 42."


TOOL = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}


class Tools(Echo):
    """An echo that accepts tools and formats, and keeps what it was asked."""

    def __init__(self) -> None:
        super().__init__(SAID, caps=CAPS | {Cap.TOOLS, Cap.IMAGES})
        self.prompts: list[Prompt] = []
        self.samplings: list[Sampling] = []

    def stream(self, prompt: Prompt, sampling: Sampling) -> object:  # type: ignore[override]
        self.prompts.append(prompt)
        self.samplings.append(sampling)
        return super().stream(prompt, sampling)


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"tools": [TOOL]}, "tools"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"logprobs": True}, "logprobs"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
            "images",
        ),
    ],
)
async def test_what_a_method_cannot_carry_passes_through_and_the_reply_says_so(
    fields: dict[str, object], reason: str
) -> None:
    engine = Tools()
    async with running(by("self_consistency", n=3), {"main": engine}) as gateway:
        reply = await gateway.ask(**fields)
    assert reply.status == 200, reply.text
    assert reply.json["ponder"]["passthrough"] == f"self_consistency cannot carry {reason}"
    assert reply.json["ponder"]["method"] == "sample"
    assert len(engine.prompts) == 1
    assert engine.prompts[0].messages[-1].text == "What is 6 times 7?" * ("messages" not in fields)


async def test_sampling_and_unknown_fields_reach_every_call() -> None:
    engine = Tools()
    async with running(by("self_consistency", n=3), {"main": engine}) as gateway:
        await gateway.ask(temperature=0.3, top_p=0.5, user="me", some_field={"a": 1}, seed=7)
    assert [(s.temperature, s.top_p) for s in engine.samplings] == [(0.3, 0.5)] * 3
    assert len({s.seed for s in engine.samplings}) == 3, "a forwarded seed would make equal samples"
    assert [json.loads(p.extra) for p in engine.prompts] == [{"user": "me", "some_field": {"a": 1}}] * 3


async def test_the_reply_says_which_sampling_a_method_had_to_set_otherwise() -> None:
    """and say in the trace when a method must override one"""
    engine = Tools()
    async with running(by("self_consistency", n=3), {"main": engine}) as gateway:
        votes = await gateway.ask(temperature=0, top_p=0.5)
        stream = await gateway.ask(temperature=0, stream=True)
        warm = await gateway.ask(temperature=0.3)
        plain = await gateway.ask(temperature=0, model="echo:plain", max_tokens=9, seed=3, stop=["x"])
    assert {s.temperature for s in engine.samplings[:3]} == {0.7}
    assert votes.json["ponder"]["overridden"] == ["temperature"]
    assert votes.headers["x-ponder-overridden"] == "temperature"
    assert [e["ponder"]["overridden"] for e in stream.events if "ponder" in e] == [["temperature"]]
    assert (warm.json["ponder"]["overridden"], plain.json["ponder"]["overridden"]) == ([], [])


async def test_the_method_is_chosen_by_name_or_by_the_ponder_object() -> None:
    async with running(engines={"main": Echo()}) as gateway:
        named = await gateway.ask(model="echo:self_consistency")
        body = await gateway.ask(ponder={"method": "self_consistency", "options": {"n": 2}})
        both = await gateway.ask(model="echo:self_consistency", ponder={"method": "sample"})
    assert named.json["ponder"]["calls"] == 8
    assert named.json["model"] == "echo:self_consistency"
    assert body.json["ponder"]["calls"] == 2
    assert both.json["ponder"]["calls"] == 1


async def test_progress_is_streamed_as_reasoning_unless_it_is_turned_off() -> None:
    async with running(engines={"main": Echo()}) as gateway:
        told = await gateway.ask(model="echo:self_consistency", stream=True)
        quiet = await gateway.ask(model="echo:self_consistency", stream=True, ponder={"notes": False})
    assert "sample 8 of 8" in told.said("reasoning_content")
    assert "sample 8 of 8" not in quiet.text
    assert told.said() != ""
    assert quiet.said() != ""


async def test_a_silent_stream_is_kept_alive_by_comments() -> None:
    server = Server(keep_alive_seconds=0.05, notes=False)
    settings = Settings(server=server, engines=echoing().engines, models=echoing().models)
    engine = Echo("<think>" + "hm " * 30 + "</think>42", delay=0.02)
    async with running(settings, {"main": engine}) as gateway:
        reply = await gateway.ask(model="echo:self_consistency", stream=True)
    assert len(reply.comments) >= 3
    assert reply.said() == "42"
    assert reply.events[0]["choices"][0]["delta"]["role"] == "assistant"


@pytest.mark.parametrize(
    ("format", "fields"),
    [
        ("both", {"reasoning_content", "reasoning"}),
        ("reasoning_content", {"reasoning_content"}),
        ("reasoning", {"reasoning"}),
        ("none", set()),
        ("think_tags", set()),
    ],
)
async def test_thinking_is_shown_under_the_name_that_the_client_reads(format: str, fields: set[str]) -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        whole = (await gateway.ask(ponder={"reasoning_format": format})).json["choices"][0]["message"]
        streamed = await gateway.ask(ponder={"reasoning_format": format}, stream=True)
    assert {name for name in ("reasoning_content", "reasoning") if name in whole} == fields
    assert streamed.said() == whole["content"]
    assert ("six times seven" in whole["content"]) == (format == "think_tags")


async def test_an_upstream_that_asks_for_patience_is_heard() -> None:
    faults = {0: Fault("error", status=429, retry_after=7.2), 1: Fault("error", status=400), 2: Fault("error")}
    async with running(engines={"main": Echo(SAID, faults=faults)}) as gateway:
        slow, bad, broken = [await gateway.ask(stream=True) for _ in range(3)]
        last = gateway.told.ended[-1][1]
    assert (slow.status, slow.headers["Retry-After"], slow.headers["x-should-retry"]) == (429, "8", "true")
    assert (bad.status, bad.headers["x-should-retry"]) == (400, "false")
    assert (broken.status, broken.error["code"]) == (502, "upstream_error")
    assert (last.status, last.error) == (502, "upstream_error")


async def test_an_error_in_mid_stream_is_an_event_and_ends_it() -> None:
    async with running(engines={"main": Echo(SAID, faults={0: Fault("cut", at=6)}, delay=0.01)}) as gateway:
        reply = await gateway.ask(stream=True)
        ended = gateway.told.ended[0][1]
    assert reply.status == 200
    assert reply.said() == "It "
    assert set(reply.events[-1]["error"]) == {"message", "type", "param", "code"}
    assert "[DONE]" not in reply.text
    assert ended.error == "upstream_error"


async def test_a_reply_that_broke_before_its_first_byte_was_sent_is_a_status() -> None:
    async with running(engines={"main": Echo(SAID, faults={0: Fault("cut", at=2)}, turn=50)}) as gateway:
        reply = await gateway.ask(stream=True)
    assert reply.status == 502
    assert reply.headers["x-should-retry"] == "false", "tokens were spent already"


async def test_a_client_that_leaves_ends_the_generation_upstream() -> None:
    words = " ".join(f"word{i}" for i in range(2000))
    async with (
        FakeServer("vllm", words, tick=0.005) as server,
        OpenAIEngine(server.url) as engine,
        running(engines={"main": engine}) as gateway,
    ):
        body = {"model": "echo", "stream": True, "messages": USER, "max_tokens": 2000}
        async with gateway.session.post(f"{gateway.url}/v1/chat/completions", json=body) as reply:
            while b"word5" not in await reply.content.readline():
                pass
            await until(lambda: server.streams == 1)
            reply.close()
        await until(lambda: server.streams == 0)
        generated = server.generated
        await asyncio.sleep(0.05)
        assert server.generated == generated < 200
        await until(lambda: bool(gateway.told.ended))
        assert gateway.told.ended[0][1].left
        assert gateway.gateway.working == 0
        assert gateway.gateway.gate.active == 0


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves_ends_every_call_of_a_method(stream: bool) -> None:
    engine = Echo("<think>" + "hm " * 2000 + "</think>42", delay=0.005)
    async with running(by("self_consistency", n=6), {"main": engine}) as gateway:
        body = {"model": "echo", "stream": stream, "messages": USER}
        asking = asyncio.create_task(gateway.session.post(f"{gateway.url}/v1/chat/completions", json=body))
        await until(lambda: engine.open_streams == 6)
        asking.cancel()
        await until(lambda: engine.open_streams == 0)
        await until(lambda: bool(gateway.told.ended))
        assert engine.generated < 6 * 200
        assert (gateway.told.ended[0][1].status, gateway.told.ended[0][1].left) == (499, True)


async def test_a_reader_that_does_not_read_holds_the_model_back() -> None:
    """Sockets hold some megabytes; beyond them the model waits, and nothing gathers in the gateway."""
    engine = Echo(("x" * 1000 + " ") * 30_000, turn=10)
    async with running(engines={"main": engine}) as gateway:
        body = json.dumps({"model": "echo", "stream": True, "messages": USER, "max_tokens": 30_000}).encode()
        port = int(gateway.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 10)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        before = -1
        while before != engine.generated:
            before = engine.generated
            await asyncio.sleep(0.3)
        assert 0 < engine.generated < 20_000
        writer.close()
        await until(lambda: engine.open_streams == 0)
        del reader


async def test_a_request_that_takes_too_long_is_ended() -> None:
    limits = Limits(seconds=0.2)
    settings = Settings(limits=limits, engines=echoing().engines, models=echoing().models)
    async with running(settings, {"main": Echo(SAID, faults={0: Fault("stall"), 1: Fault("stall", at=6)})}) as gateway:
        before, within = await gateway.ask(stream=True), await gateway.ask(stream=True)
    assert (before.status, before.error["code"]) == (504, "request_timeout")
    assert within.status == 200
    assert within.events[-1]["error"]["code"] == "request_timeout"


async def test_observers_hear_of_every_moment() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        await gateway.ask(stream=True, model="echo:plain")
        await gateway.ask(model="nobody")
        told = gateway.told
    seen, ended = told.ended[0]
    assert [one.id for one in told.started] == [one.id for one, _ in told.ended]
    assert (seen.route, seen.model, seen.method, seen.stream) == ("/chat/completions", "echo:plain", "sample", True)
    assert seen.engine == "echo"
    assert seen.first is not None
    assert told.first == [seen]
    assert (ended.status, ended.finish, ended.tokens_by_role) == (200, ("stop",), {"think": 5, "answer": 3})
    assert [call.tokens for call in told.calls] == [8]
    assert (told.ended[1][1].status, told.ended[1][1].error) == (404, "model_not_found")
