from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.gateway import USER, echoing, running
from support.server import until

from ponder import __version__
from ponder.engines.echo import Echo
from ponder.serve.access import hash_key
from ponder.serve.settings import Defaults, Key, Limits, Model, Server, Settings, Upstream

SAID = "<think>six times seven </think>It is 42."
SECRET = "pk-" + "s" * 40


def guarded(**server: Any) -> Settings:
    keys = (Key("ann", hash_key(SECRET), models=("echo",), reasoning_format="think_tags"),)
    models = {**echoing().models, "other": Model("other", method={"method": "sample"})}
    return Settings(Server(**server), keys=keys, engines=echoing().engines, models=models)


@pytest.mark.parametrize("prefix", ["/v1", ""])
async def test_every_endpoint_answers_with_and_without_a_version(prefix: str) -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        chat = await gateway.ask(prefix + "/chat/completions")
        models, one = await gateway.get(prefix + "/models"), await gateway.get(prefix + "/models/echo:sample")
        health, version = await gateway.get(prefix + "/health"), await gateway.get(prefix + "/version")
        ready, alive = await gateway.get(prefix + "/health/readiness"), await gateway.get(prefix + "/health/liveliness")
        route, metrics = await gateway.ask(prefix + "/route"), await gateway.get(prefix + "/metrics")
    for reply in (chat, models, one, health, version, ready, alive, route, metrics):
        assert reply.status == 200, reply.text
        assert reply.headers["x-request-id"]
    assert version.json == {"version": __version__}
    assert health.json["status"] == "ok"
    assert ready.json["engines"] == {"main": "ready"}
    assert models.json["object"] == "list"
    assert {"echo", "echo:sample", "echo:plain", "echo:auto"} <= {entry["id"] for entry in models.json["data"]}


async def test_a_model_is_described_with_its_facts() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        reply = await gateway.get("/v1/models/echo:self_consistency")
        unknown = await gateway.get("/v1/models/ehco")
    facts = reply.json["ponder"]
    assert (reply.json["id"], reply.json["object"]) == ("echo:self_consistency", "model")
    assert facts["method"] == {"method": "self_consistency"}
    assert facts["engine"]["state"] == "ready"
    assert facts["engine"]["caps"]["prefill"] is True
    assert facts["engine"]["think"] == {"open": "<think>", "close": "</think>"}
    assert (unknown.status, unknown.error["code"]) == (404, "model_not_found")
    assert "did you mean 'echo'" in unknown.error["message"]


async def test_a_dry_run_says_what_would_answer_and_asks_no_model() -> None:
    engine = Echo(SAID)
    async with running(engines={"main": engine}) as gateway:
        reply = await gateway.ask("/v1/route", model="echo:self_consistency", reasoning_effort="low")
        off = await gateway.ask("/v1/route", model="echo:auto", reasoning={"enabled": False})
        bad = await gateway.ask("/v1/route", model="nobody")
    assert engine.calls == 0
    assert (reply.json["method"], reply.json["by"]) == ("self_consistency", "model")
    assert (reply.json["budget"], reply.json["source"]) == (1024, "reasoning_effort")
    assert reply.json["options"]["inner"]["tokens"] == 1024
    assert (off.json["thinking"]["mode"], off.json["options"]["mode"]) == ("off", "off")
    assert bad.status == 404


@pytest.mark.parametrize(
    ("verb", "path", "status", "code"),
    [
        ("GET", "/v1/nothing", 404, "not_found"),
        ("GET", "/", 404, "not_found"),
        ("GET", "/v1/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/v1/models", 405, "method_not_allowed"),
        ("POST", "/v1/chat/completions/", 404, "not_found"),
    ],
)
async def test_what_is_not_there_is_refused_in_openai_s_shape(verb: str, path: str, status: int, code: str) -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        reply = await gateway.call(verb, path)
    assert (reply.status, reply.error["code"]) == (status, code)
    assert set(reply.error) == {"message", "type", "param", "code"}
    assert ("Allow" in reply.headers) == (status == 405)


@pytest.mark.parametrize(
    ("body", "param"),
    [
        (b"", None),
        (b"{", None),
        (b"[]", None),
        (b'"text"', None),
        (b'{"model": "echo", "model": "echo", "messages": []}', None),
        (b'{"model": "echo", "messages": [{"role": "user", "content": NaN}]}', None),
        (b"[" * 5000, None),
        (b"\xff\xfe{}", None),
        (json.dumps({"model": "echo"}).encode(), "messages"),
        (json.dumps({"messages": USER}).encode(), "model"),
        (json.dumps({"model": 3, "messages": USER}).encode(), "model"),
        (json.dumps({"model": "echo", "messages": "hi"}).encode(), "messages"),
        (json.dumps({"model": "echo", "messages": USER, "n": 0}).encode(), "n"),
        (json.dumps({"model": "echo", "messages": USER, "n": 10**6}).encode(), "n"),
        (json.dumps({"model": "echo", "messages": USER, "temperature": "hot"}).encode(), "temperature"),
        (json.dumps({"model": "echo", "messages": USER, "stream": "yes"}).encode(), "stream"),
        (json.dumps({"model": "echo", "messages": USER, "ponder": {"metod": "x"}}).encode(), "ponder.metod"),
        (json.dumps({"model": "echo", "messages": USER, "ponder": {"method": "x"}}).encode(), "ponder.method"),
        (json.dumps({"model": "echo", "messages": USER, "api_base": "http://evil"}).encode(), "api_base"),
    ],
)
async def test_bad_input_is_a_400_that_names_the_field(body: bytes, param: str | None) -> None:
    engine = Echo(SAID)
    async with running(engines={"main": engine}) as gateway:
        reply = await gateway.call("POST", "/v1/chat/completions", body)
    assert reply.status == 400, reply.text
    assert reply.error["param"] == param
    assert reply.error["type"] == "invalid_request_error"
    assert "detail" not in reply.json
    assert "Traceback" not in reply.text
    assert engine.calls == 0


async def test_messages_of_every_kind_are_taken() -> None:
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "be"}, {"type": "text", "text": "short"}]},
        {"role": "user", "content": "<think>this is the user's own text</think> 4?"},
        {"role": "assistant", "content": None, "reasoning_content": "hm"},
        {"role": "user", "content": "5?"},
    ]
    async with running(engines={"main": Echo(SAID)}) as gateway:
        reply = await gateway.ask(messages=messages)
    assert reply.status == 200, reply.text
    assert reply.json["choices"][0]["message"]["reasoning"] == "six times seven ", "of the model, not of the user"


async def test_unicode_arrives_whole_however_it_is_cut() -> None:
    said = "Grüße 👩‍👩‍👧 字 " * 20
    async with running(engines={"main": Echo(said)}) as gateway:
        reply = await gateway.ask(stream=True, messages=[{"role": "user", "content": "字👧"}])
        whole = await gateway.ask()
    assert reply.said() == whole.json["choices"][0]["message"]["content"] == said


async def test_a_megabyte_is_taken_and_more_than_allowed_is_a_413() -> None:
    settings = Settings(limits=Limits(body_bytes=2 << 20), engines=echoing().engines, models=echoing().models)
    async with running(settings, {"main": Echo(SAID)}) as gateway:
        long = await gateway.ask(messages=[{"role": "user", "content": "word " * 200_000}])
        more = await gateway.ask(messages=[{"role": "user", "content": "word " * 500_000}])
        after = await gateway.ask()
    assert long.status == 200
    assert (more.status, more.error["code"]) == (413, "request_too_large")
    assert after.status == 200


async def test_too_many_at_once_is_a_429_with_retry_after() -> None:
    limits = Limits(concurrency=1, queue=0)
    settings = Settings(limits=limits, engines=echoing().engines, models=echoing().models)
    async with running(settings, {"main": Echo(SAID, delay=0.05)}) as gateway:
        first = asyncio.create_task(gateway.ask())
        await until(lambda: gateway.gateway.working == 1)
        second = await gateway.ask()
        health = await gateway.get("/health")
        assert (await first).status == 200
    assert (second.status, second.error["code"]) == (429, "rate_limit_exceeded")
    assert (second.headers["Retry-After"], second.headers["x-should-retry"]) == ("1", "true")
    assert health.status == 200


async def test_a_key_is_asked_for_everywhere_but_for_health() -> None:
    async with running(guarded(), {"main": Echo(SAID)}) as gateway:
        for path in ("/v1/models", "/version", "/metrics", "/v1/nothing"):
            assert (await gateway.get(path)).status == 401, path
        for path in ("/health", "/health/readiness", "/v1/health/liveliness"):
            assert (await gateway.get(path)).status == 200, path
        wrong = await gateway.ask(headers={"Authorization": "Bearer " + SECRET[:-1]})
        right = await gateway.ask(headers={"Authorization": f"Bearer {SECRET}"})
        other = await gateway.ask(headers={"x-api-key": SECRET}, model="other")
        names = await gateway.get("/v1/models", headers={"x-api-key": SECRET})
    assert (wrong.status, wrong.error["type"]) == (401, "authentication_error")
    assert right.json["choices"][0]["message"]["content"].startswith("<think>"), "the key's own format"
    assert (other.status, other.error["code"]) == (404, "model_not_found")
    assert all(entry["id"].startswith("echo") for entry in names.json["data"])
    assert [seen.client for seen, _ in gateway.told.ended][-3:] == ["ann"] * 3
    assert all(SECRET not in repr((seen, ended)) for seen, ended in gateway.told.ended)


@pytest.mark.parametrize(("expected", "first", "last"), [("100-continue", 100, 200), ("tea", 417, 417)])
async def test_a_body_is_invited_and_other_expectations_are_refused(expected: str, first: int, last: int) -> None:
    body = json.dumps({"model": "echo", "messages": USER}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nExpect: {expected}\r\nConnection: close\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    async with running() as gateway:
        url = urlsplit(gateway.url)
        reader, writer = await asyncio.open_connection(url.hostname, url.port)
        writer.write(head.encode())
        status = await reader.readuntil(b"\r\n")
        assert int(status.split()[1]) == first
        if first == 100:
            await reader.readuntil(b"\r\n")
            writer.write(body)
            status = await reader.readuntil(b"\r\n")
        rest = await reader.read()
        writer.close()
    assert int(status.split()[1]) == last
    said = json.loads(rest.partition(b"\r\n\r\n")[2])
    assert ("error" in said) == (last == 417)


async def test_a_browser_is_told_what_it_may_send() -> None:
    ask = {"Origin": "http://localhost:3000", "Access-Control-Request-Method": "POST",
           "Access-Control-Request-Headers": "authorization,content-type,x-stainless-os"}  # fmt: skip
    async with running(guarded(), {"main": Echo(SAID)}) as gateway:
        told = await gateway.call("OPTIONS", "/v1/chat/completions", headers=ask)
        foreign = await gateway.call(
            "OPTIONS", "/v1/chat/completions", headers={**ask, "Origin": "https://evil.example"}
        )
        reply = await gateway.ask(headers={"Origin": ask["Origin"], "Authorization": f"Bearer {SECRET}"})
        streamed = await gateway.ask(
            headers={"Origin": ask["Origin"], "Authorization": f"Bearer {SECRET}"}, stream=True
        )
        cross = await gateway.ask(headers={"Origin": "https://evil.example"})
    assert told.status == 204
    assert told.headers["Access-Control-Allow-Origin"] == ask["Origin"]
    assert told.headers["Access-Control-Allow-Headers"] == ask["Access-Control-Request-Headers"]
    assert "POST" in told.headers["Access-Control-Allow-Methods"]
    assert (foreign.status, cross.status) == (403, 403)
    assert reply.headers["Access-Control-Allow-Origin"] == ask["Origin"]
    assert streamed.headers["Access-Control-Allow-Origin"] == ask["Origin"]


async def test_a_request_id_is_kept_or_made() -> None:
    async with running(engines={"main": Echo(SAID)}) as gateway:
        kept = await gateway.ask(headers={"x-request-id": "trace-7"})
        made = await gateway.ask(headers={"x-request-id": "with blanks and \u00fc"})
        again = await gateway.ask(stream=True, headers={"x-request-id": "s-1"})
    assert kept.headers["x-request-id"] == "trace-7"
    assert made.headers["x-request-id"].startswith("req-")
    assert again.headers["x-request-id"] == "s-1"


class Broken(Echo):
    """An engine with a mistake in it."""

    def stream(self, prompt: object, sampling: object) -> Any:  # type: ignore[override]
        raise ZeroDivisionError("the secret prompt")


@pytest.mark.parametrize("stream", [False, True])
async def test_a_mistake_of_ours_is_a_500_without_a_trace(stream: bool, caplog: pytest.LogCaptureFixture) -> None:
    async with running(engines={"main": Broken()}) as gateway:
        reply = await gateway.ask(stream=stream)
        again = await gateway.get("/health")
    assert (reply.status, reply.error["code"]) == (500, "internal_error")
    assert "secret" not in reply.text
    assert "secret" not in caplog.text
    assert "ZeroDivisionError" in caplog.text
    assert again.status == 200


async def test_an_upstream_that_is_down_is_a_502_and_its_return_is_noticed() -> None:
    engines = {"main": Upstream(url="http://127.0.0.1:9/v1", model="m")}
    settings = Settings(engines=engines, models=echoing().models)
    async with running(settings) as gateway:
        reply, ready = await gateway.ask(), await gateway.get("/health/readiness")
        facts = await gateway.get("/v1/models/echo")
    assert reply.status == 502, reply.text
    assert ready.status == 503
    assert ready.json["engines"] == {"main": "failed"}
    assert facts.json["ponder"]["engine"] == {"state": "failed"}


async def test_a_gateway_that_drains_takes_nothing_new_and_ends_what_it_has() -> None:
    async with running(engines={"main": Echo(SAID, delay=0.03)}) as gateway:
        running_one = asyncio.create_task(gateway.ask(stream=True))
        await until(lambda: gateway.gateway.working == 1)
        gateway.gateway.drain()
        late, ready = await gateway.ask(), await gateway.get("/health/readiness")
        early = await running_one
    assert (late.status, late.error["code"], late.headers["x-should-retry"]) == (503, "shutting_down", "true")
    assert (ready.status, ready.json["status"]) == (503, "draining")
    assert early.said() == "It is 42."


async def test_what_the_drain_cuts_is_told_why() -> None:
    async with running(engines={"main": Echo(SAID + " word" * 500, delay=0.02)}) as gateway:
        whole, streamed = asyncio.create_task(gateway.ask()), asyncio.create_task(gateway.ask(stream=True))
        await until(lambda: gateway.gateway.working == 2 and bool(gateway.told.first))
        gateway.gateway.drain()
        gateway.gateway.cut()
        await asyncio.wait_for(gateway.gateway.idle.wait(), 5)
        assert (await whole).status == 503
        assert (await streamed).events[-1]["error"]["code"] == "shutting_down"


async def test_defaults_of_a_model_may_bound_its_thinking() -> None:
    model = Model("lean", method={"method": "auto"}, defaults=Defaults(effort="none"))
    async with running(echoing(lean=model), {"main": Echo()}) as gateway:
        reply = await gateway.ask(model="lean")
    assert reply.json["ponder"]["budget"] == 0
    assert reply.json["usage"]["completion_tokens_details"]["reasoning_tokens"] == 0
