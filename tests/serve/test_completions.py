from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from support.gateway import Running, echoing, running
from support.server import FakeServer, Fault, until

from ponder.engines.echo import Echo
from ponder.serve.settings import Model, Server, Settings, Upstream

SAID = "<think>six times seven </think>It is 42."


@asynccontextmanager
async def passing(server: FakeServer) -> AsyncIterator[Running]:
    """A gateway whose one model is behind a server."""
    engines = {"main": Upstream(url=server.url, model="toy", retries=1)}
    # Examining the server would be further generations on it.
    settings = Settings(
        Server(examine=False), engines=engines, models={"echo": Model("echo", method={"method": "sample"})}
    )
    async with running(settings) as gateway:
        yield gateway


async def test_a_raw_prompt_goes_to_the_server_as_it_stands() -> None:
    async with FakeServer("vllm", "It is 42.") as server, passing(server) as gateway:
        reply = await gateway.call(
            "POST", "/v1/completions", {"model": "echo", "prompt": "6 times 7 is", "stream": True, "best_of": 1}
        )
        sent = server.body
        told = gateway.told
    assert reply.status == 200, reply.text
    assert (sent["prompt"], sent["model"], sent["best_of"]) == ("6 times 7 is", "toy", 1)
    assert "".join(c["text"] for e in reply.events for c in e["choices"]) == "It is 42."
    assert {event["model"] for event in reply.events} == {"echo"}
    assert all(event["choices"] for event in reply.events), "no usage where none was asked for"
    assert reply.text.endswith("data: [DONE]\n\n")
    assert reply.headers["x-ponder-method"] == "passthrough"
    seen, ended = told.ended[0]
    assert (seen.method, seen.model, ended.status) == ("passthrough", "echo", 200)
    assert [call.tokens for call in told.calls] == [3]


async def test_a_client_that_leaves_ends_a_passthrough_too() -> None:
    words = "word " * 3000
    async with FakeServer("vllm", words, tick=0.005) as server, passing(server) as gateway:
        body = {"model": "echo", "prompt": "go", "stream": True, "max_tokens": 3000}
        async with gateway.session.post(f"{gateway.url}/v1/completions", json=body) as reply:
            await reply.content.readline()
            reply.close()
        await until(lambda: server.streams == 0)
        generated = server.generated
        await asyncio.sleep(0.03)
        assert server.generated == generated < 300


async def test_the_server_s_refusal_is_passed_on_in_the_right_shape() -> None:
    fault = Fault("status", status=429, headers={"Retry-After": "3"})
    async with FakeServer("vllm", "x", faults={0: fault}) as server, passing(server) as gateway:
        reply = await gateway.call("POST", "/v1/completions", {"model": "echo", "prompt": "a", "stream": True})
    assert (reply.status, reply.headers["Retry-After"]) == (429, "3")
    assert set(reply.error) == {"message", "type", "param", "code"}


async def test_a_stream_that_breaks_ends_with_an_error() -> None:
    faulty = FakeServer("vllm", "a b c d e f", tick=0.01, faults={0: Fault("cut", at=3)})
    async with faulty as server, passing(server) as gateway:
        reply = await gateway.call("POST", "/v1/completions", {"model": "echo", "prompt": "a", "stream": True})
        ended = gateway.told.ended[0][1]
    assert reply.status == 200
    assert reply.events[-1]["error"]["code"] == ended.error == "upstream_error"
    assert "[DONE]" not in reply.text


async def test_a_model_without_a_raw_endpoint_says_what_to_ask_instead() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        reply = await gateway.call("POST", "/v1/completions", {"model": "echo", "prompt": "a"})
    assert (reply.status, reply.error["param"]) == (400, "model")
    assert "/v1/chat/completions" in reply.error["message"]


@pytest.mark.parametrize("named", [{"model": "echo:sample"}, {"model": "echo", "ponder": {"method": "sample"}}])
async def test_a_method_answers_where_the_request_names_one(named: dict[str, object]) -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        reply = await gateway.call("POST", "/v1/completions", {"prompt": "6 times 7 is", "echo": True, **named})
    body = reply.json
    assert body["object"] == "text_completion"
    assert body["id"].startswith("cmpl-")
    assert body["choices"][0]["text"] == "6 times 7 isIt is 42."
    assert body["usage"]["completion_tokens_details"]["reasoning_tokens"] == 5
    assert body["ponder"]["method"] == "sample"


async def test_several_prompts_are_several_choices() -> None:
    async with running(engines={"main": Echo()}) as gateway:
        body = {"model": "echo:sample", "prompt": ["1?", "2?"], "n": 2}
        reply = await gateway.call("POST", "/v1/completions", body)
        streamed = await gateway.call("POST", "/v1/completions", {**body, "stream": True, "seed": 1})
        many = await gateway.call("POST", "/v1/completions", {**body, "prompt": ["?"] * 20})
        ids = await gateway.call("POST", "/v1/completions", {**body, "prompt": [1, 2]})
    assert [choice["index"] for choice in reply.json["choices"]] == [0, 1, 2, 3]
    assert {c["index"] for event in streamed.events for c in event["choices"]} == {0, 1, 2, 3}
    assert (many.status, many.error["param"]) == (400, "n")
    assert (ids.status, ids.error["param"]) == (400, "prompt")


async def test_an_unknown_model_is_a_404() -> None:
    async with running(echoing(), {"main": Echo(SAID)}) as gateway:
        reply = await gateway.call("POST", "/v1/completions", {"model": "nobody", "prompt": "a"})
    assert reply.status == 404
