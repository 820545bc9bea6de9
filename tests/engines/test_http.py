"""What the engine says when a server refuses, breaks, lies or is not there; and that no key is ever shown."""

from __future__ import annotations

import asyncio
import json
import socket
from email.utils import formatdate
from time import time

import pytest
from aiohttp import web
from support.server import FakeServer, Fault

from ponder.core.engine import Sampling
from ponder.core.errors import EngineError, OptionError
from ponder.core.problem import Message, Prompt
from ponder.core.run import Run
from ponder.engines.http import Timeouts
from ponder.engines.openai import OpenAIEngine

ASK = Prompt((Message.of("user", "2+2?"),))
SECRET = "sk-very-secret"


async def failing(fault: Fault, **options: object) -> EngineError:
    async with FakeServer("plain", faults={0: fault}) as server, OpenAIEngine(server.url, **options) as engine:  # type: ignore[arg-type]
        with pytest.raises(EngineError) as caught:
            await Run(engine).generate(ASK)
    error = caught.value
    assert "127.0.0.1" in str(error)
    assert "\n" not in str(error)
    assert len(str(error)) < 400
    return error


@pytest.mark.parametrize(
    ("status", "retry", "words"),
    [
        (400, False, "refused the request"),
        (401, False, "asks for a key; name the environment variable"),
        (403, False, "key_env"),
        (404, False, "check the address and the model's name"),
        (413, False, "too long"),
        (418, False, "refused"),
        (429, True, "slow down"),
        (500, True, "trouble of its own"),
        (503, True, "trouble of its own"),
    ],
)
async def test_each_status_has_its_sentence(status: int, retry: bool, words: str) -> None:
    error = await failing(Fault("status", status=status))
    assert (error.status, error.retry) == (status, retry)
    assert words in str(error)
    assert f"(HTTP {status}): scripted" in str(error)


async def test_a_429_says_when_to_come_back() -> None:
    seconds = await failing(Fault("status", status=429, headers={"Retry-After": "7"}))
    assert seconds.retry_after == 7.0
    date = await failing(Fault("status", status=429, headers={"Retry-After": formatdate(time() + 30, usegmt=True)}))
    assert date.retry_after == pytest.approx(30, abs=5)
    never = Fault("status", status=429, body='{"error": {"message": "pay first", "code": "insufficient_quota"}}')
    assert not (await failing(never)).retry


async def test_the_server_may_say_that_a_retry_is_useless() -> None:
    assert not (await failing(Fault("status", status=500, headers={"x-should-retry": "false"}))).retry
    assert (await failing(Fault("status", status=400, headers={"x-should-retry": "true"}))).retry


@pytest.mark.parametrize(
    ("fault", "retry", "words"),
    [
        (Fault("cut", at=2), True, "closed the connection"),
        (Fault("end", at=2), True, "without a finish"),
        (Fault("broken", at=2), True, "not JSON: '{nope'"),
        (Fault("error", at=2), True, "broke off with an error: scripted"),
        (Fault("error", at=0, body='{"error": {"message": "too long", "code": 400}}'), False, "too long"),
        (Fault("error", at=0, body='{"error": "gone"}'), True, "error: gone"),
        (Fault("raw", at=1, body="data: 17\n\n"), True, "not JSON: '17'"),
        (Fault("raw", at=1, body="data: " + "[" * 100_000 + "\n\n"), True, "not JSON"),
        (Fault("raw", at=1, body='data: {"choices": [[]]}\n\n'), True, "without a finish"),
        (Fault("html"), False, "did not stream on /chat/completions but sent text/html"),
        (Fault("json"), False, "did not stream"),
        (
            Fault("status", status=302, headers={"Location": "https://elsewhere/v1"}),
            False,
            "redirects to https://elsewh",
        ),
        (
            Fault("status", status=502, body="<html><title>Bad\n gateway</title>"),
            True,
            "an HTML page titled 'Bad gateway'",
        ),
    ],
)
async def test_each_fault_has_its_sentence(fault: Fault, retry: bool, words: str) -> None:
    error = await failing(fault)
    assert error.retry == retry
    assert words in str(error)


async def test_what_was_read_before_a_cut_is_billed() -> None:
    async with (
        FakeServer("vllm", faults={0: Fault("cut", at=3)}) as server,
        OpenAIEngine(server.url) as engine,
    ):
        run = Run(engine)
        with pytest.raises(EngineError):
            await run.generate(ASK)
    assert run.trace.calls[0].finish == "error"
    assert run.trace.tokens == 3 <= server.generated <= 4


@pytest.mark.parametrize("kind", ["slow", "stall"])
async def test_silence_ends_at_its_time_limit(kind: str) -> None:
    limits = Timeouts(first=0.2, between=0.2)
    error = await failing(Fault(kind, at=1), timeouts=limits)  # type: ignore[arg-type]
    assert error.retry
    assert "no sign of life" in str(error)


async def test_a_server_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/v1"
        with pytest.raises(EngineError, match=r"cannot be reached .*is it running") as caught:
            await OpenAIEngine(url, "toy").__aenter__()
    assert caught.value.retry


async def test_an_unknown_host_name() -> None:
    with pytest.raises(EngineError, match="unknown host name"):
        await OpenAIEngine("http://no-such-host.invalid:1/v1", "toy").__aenter__()


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://x/v1",
        "http://",
        "",
        "http://user:pass@host/v1",
        "http://host:99999/v1",
        "http://[::1/v1",
    ],
)
def test_a_bad_address(url: str) -> None:
    with pytest.raises(OptionError, match="address"):
        OpenAIEngine(url, "toy")


async def test_an_event_without_end_is_refused() -> None:
    async def handler(request: web.Request) -> web.StreamResponse:
        if request.path == "/v1/models":
            return web.json_response({"data": [{"id": "toy"}]})
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        while True:
            await response.write(b"x" * (1 << 20))

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        async with OpenAIEngine(f"http://127.0.0.1:{runner.addresses[0][1]}/v1") as engine:
            with pytest.raises(EngineError, match="more than 8 MiB"):
                async with engine.stream(ASK, Sampling()) as chunks:
                    await anext(chunks)
    finally:
        await runner.cleanup()


async def test_a_key_is_sent_and_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", SECRET)
    async with FakeServer("plain", key=SECRET) as server:
        async with OpenAIEngine(server.url, key_env="TOY_KEY") as engine:
            async with engine.stream(ASK, Sampling()) as chunks:
                assert "".join([c.text async for c in chunks]) == "The answer is four."
            shown = f"{engine!r} {engine.name} {vars(engine)!r} {engine._client!r}"
            assert SECRET not in shown
        assert server.requests[-1].headers["Authorization"] == f"Bearer {SECRET}"
        assert SECRET not in json.dumps(server.body)
        with pytest.raises(EngineError, match="asks for a key"):
            await OpenAIEngine(server.url).__aenter__()


async def test_a_key_that_the_server_repeats_is_taken_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOY_KEY", SECRET)
    async with FakeServer("plain", key="another") as server:
        with pytest.raises(EngineError, match=r"refuses the key in the environment variable TOY_KEY") as caught:
            await OpenAIEngine(server.url, key_env="TOY_KEY").__aenter__()
    chain = [caught.value, caught.value.__cause__, caught.value.__context__]
    assert all(SECRET not in f"{error!r}{error}" for error in chain)
    assert "bad key: Bearer ***" in str(caught.value)


def test_a_key_that_is_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOY_KEY", raising=False)
    with pytest.raises(OptionError, match="TOY_KEY is not set"):
        OpenAIEngine("http://127.0.0.1:1/v1", "toy", key_env="TOY_KEY")


async def test_numbers_that_json_cannot_say() -> None:
    async with FakeServer("plain") as server, OpenAIEngine(server.url) as engine:
        with pytest.raises(OptionError, match="finite number"):
            async with engine.stream(ASK, Sampling(logit_bias=((1, float("nan")),))):
                pass
    assert server.generations == 0


async def test_an_engine_that_is_not_open_says_so() -> None:
    engine = OpenAIEngine("http://127.0.0.1:1/v1", "toy")
    assert engine.name == "toy@127.0.0.1:1"
    with pytest.raises(EngineError, match="async with"):
        async with engine.stream(ASK, Sampling()):
            pass


async def test_a_failed_opening_leaves_nothing_open() -> None:
    async with FakeServer("plain", key="k") as server:
        engine = OpenAIEngine(server.url)
        with pytest.raises(EngineError):
            await engine.__aenter__()
        await asyncio.sleep(0)
    assert engine._client._session is None
