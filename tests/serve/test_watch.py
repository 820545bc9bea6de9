from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from support.gateway import running

from ponder.core.trace import Call
from ponder.serve.log import RequestLog
from ponder.serve.observe import Ended, Observers, Seen
from ponder.serve.watch import SHARED, forget_worker, shared_counts, watched


def one_request(observers: Observers) -> None:
    seen = Seen("r1", "/chat/completions", model="m", method="auto")
    observers.request_started(seen)
    observers.upstream_call(seen, Call("answer", "m@h:1", (), 1, answer_tokens=3))
    observers.request_ended(seen, Ended(200, 0.1))


def test_a_process_logs() -> None:
    out = io.StringIO()
    with watched(out, {}) as observers:
        one_request(observers)
    assert json.loads(out.getvalue())["tokens"] == 3


async def test_traces_are_sent_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    """A real exporter in a process of its own, and a collector that takes what comes."""
    bodies: list[bytes] = []

    async def collect(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        return web.Response(content_type="application/x-protobuf")

    app = web.Application()
    app.router.add_post("/v1/traces", collect)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    program = """
import io
from ponder.core.trace import Call
from ponder.serve.observe import Ended, Seen
from ponder.serve.watch import watched
with watched(io.StringIO()) as observers:
    seen = Seen("r1", "/chat/completions", model="m", method="auto")
    observers.request_started(seen)
    observers.upstream_call(seen, Call("answer", "qwen@h:1", (), 1, answer_tokens=3))
    observers.request_ended(seen, Ended(200, 0.1))
"""
    import asyncio

    env = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}", "NO_PROXY": "127.0.0.1"}
    env["OTEL_EXPORTER_OTLP_COMPRESSION"] = "none"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, env=env)
    assert await process.wait() == 0
    await runner.cleanup()
    (body,) = bodies
    assert b"chat qwen" in body
    assert b"POST /chat/completions" in body
    assert b"service.name" in body


def test_workers_are_told_one_folder_and_it_goes_with_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARED, raising=False)
    with shared_counts():
        folder = Path(os.environ[SHARED])
        assert folder.is_dir()
    assert SHARED not in os.environ
    assert not folder.exists()


def test_a_folder_of_the_users_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SHARED, "/theirs")
    with shared_counts():
        assert os.environ[SHARED] != "/theirs"
    assert os.environ[SHARED] == "/theirs"


DYING = """
from ponder.serve.metrics import Metrics
from ponder.serve.observe import Seen
import os
metrics = Metrics(["m"], ["/chat/completions"])
metrics.request_started(Seen("r", "/chat/completions"))
metrics.http_seconds.labels("POST", "/chat/completions", "200").observe(1.0)
print(os.getpid(), flush=True)
os._exit(1)
"""
READING = "from ponder.serve.metrics import Metrics; print(Metrics([], []).render().decode())"


def test_a_worker_that_died_has_nothing_in_flight_and_all_it_did(monkeypatch: pytest.MonkeyPatch) -> None:
    with shared_counts():
        died = subprocess.run([sys.executable, "-c", DYING], capture_output=True, text=True, check=False)
        forget_worker(int(died.stdout))
        done = subprocess.run([sys.executable, "-c", READING], capture_output=True, text=True, check=True)
    assert "http_server_active_requests{" not in done.stdout
    count = 'http_server_request_duration_seconds_count{http_request_method="POST",http_response_status_code="200"'
    assert f'{count},http_route="/chat/completions"}} 1.0' in done.stdout


def test_to_forget_nobody_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SHARED, raising=False)
    forget_worker(None)
    forget_worker(1)
    assert SHARED not in os.environ


async def test_what_a_gateway_does_is_logged_without_a_word_of_it() -> None:
    out = io.StringIO()
    async with running() as gateway:
        gateway.gateway.observers = Observers([RequestLog(out)])
        reply = await gateway.ask(headers={"x-request-id": "mine", "Authorization": "Bearer pk-very-secret"})
        await gateway.ask(model="pk-very-secret")
        await gateway.call("POST", "/v1/chat/completions", b"{ not JSON pk-very-secret")
    assert reply.status == 200
    answered, unknown, broken = map(json.loads, out.getvalue().splitlines())
    assert (answered["request_id"], answered["status"], answered["model"]) == ("mine", 200, "echo")
    assert answered["tokens"] == reply.json["usage"]["completion_tokens"]
    assert (unknown["status"], unknown["error"]) == (404, "model_not_found")
    assert (broken["status"], broken["error"]) == (400, "invalid_json")
    for word in ("6 times 7", "very-secret", str(reply.json["choices"][0]["message"]["content"])):
        assert word not in out.getvalue()
