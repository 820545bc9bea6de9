"""`curl -N`: the framing of a stream byte for byte, and when the bytes come."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from conftest import Gateway
from serving import ANSWER, QUESTION, THOUGHT, Upstream
from support.server import Fault

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")


def command(gateway: Gateway, *more: str, **body: Any) -> list[str]:
    asked = json.dumps({"model": "scripted", "messages": QUESTION, "stream": True, **body})
    given = ["-H", f"Authorization: Bearer {gateway.key}", "-H", "Content-Type: application/json", "-d", asked]
    return ["curl", "-sN", "--max-time", "60", *more, f"{gateway.base}/chat/completions", *given]


def events(raw: bytes) -> list[bytes]:
    """Return the events of a body; comments are left out."""
    assert raw.endswith(b"\n\n")
    return [event for event in raw[:-2].split(b"\n\n") if not event.startswith(b":")]


def test_the_framing(gateway: Gateway, upstream: Upstream) -> None:
    done = subprocess.run(
        command(gateway, "-D", "/dev/stderr", stream_options={"include_usage": True}), capture_output=True, check=True
    )
    status, *lines = done.stderr.decode().strip().split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    assert status == "HTTP/1.1 200 OK"
    assert headers["content-type"] == "text/event-stream; charset=utf-8"
    assert headers["cache-control"] == "no-cache"
    assert headers["x-accel-buffering"] == "no"
    assert headers["transfer-encoding"] == "chunked"
    assert "content-length" not in headers
    assert headers["x-request-id"]
    assert headers["x-ponder-method"] == "auto"
    *data, end = events(done.stdout)
    assert end == b"data: [DONE]"
    assert b"\r" not in done.stdout
    assert all(event.startswith(b"data: {") and event.endswith(b"}") and event.count(b"\n") == 0 for event in data)
    first = json.loads(data[0][6:])
    head = b'data: {"id":"%s","object":"chat.completion.chunk","created":%d,"model":"scripted",'
    common = head % (first["id"].encode(), first["created"])
    body = b'"choices":[{"index":0,"delta":%s,"logprobs":null,"finish_reason":null}],"usage":null}'
    assert all(event.startswith(common) for event in data)
    assert data[0] == common + body % b'{"role":"assistant","content":""}'
    deltas = [json.loads(event[6:])["choices"][0]["delta"] for event in data[1:-2]]
    rest = [common + body % json.dumps(delta, separators=(",", ":")).encode() for delta in deltas]
    assert data[1:-2] == rest
    thoughts = [delta for delta in deltas if "reasoning_content" in delta]
    assert all(list(delta) == ["reasoning_content", "reasoning"] for delta in thoughts)
    assert all(delta["reasoning_content"] == delta["reasoning"] for delta in thoughts)
    assert "".join(delta["reasoning"] for delta in thoughts) == THOUGHT
    answers = deltas[len(thoughts) :]
    assert all(list(delta) == ["content"] for delta in answers)
    assert "".join(delta["content"] for delta in answers) == ANSWER
    last, usage = (json.loads(event[6:]) for event in data[-2:])
    assert (last["choices"][0]["delta"], last["choices"][0]["finish_reason"], last["usage"]) == ({}, "stop", None)
    assert last["ponder"]["method"] == "auto"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == sum(last["ponder"]["tokens"].values())


def test_bytes_come_while_the_model_writes(gateway: Gateway, upstream: Upstream) -> None:
    upstream.server.reply, upstream.server.tick = "word " * 60, 0.05
    before = upstream.server.generated
    with subprocess.Popen(command(gateway), stdout=subprocess.PIPE) as curl:
        assert curl.stdout is not None
        seen = b""
        while b'"content":" word"' not in seen:
            seen += curl.stdout.read1()
        assert upstream.server.streams == 1, "the first words come before the last is written"
        assert upstream.server.generated < before + 60
        seen += curl.stdout.read()
    text = "".join(json.loads(event[6:])["choices"][0]["delta"].get("content", "") for event in events(seen)[:-1])
    assert text.split() == ["word"] * 60


def test_a_silent_stream_is_kept_alive(gateway: Gateway, upstream: Upstream) -> None:
    upstream.server.tick = 2.5
    upstream.server.reply = "one two"
    done = subprocess.run(command(gateway), capture_output=True, check=True)
    assert b": keep-alive\n\n" in done.stdout
    assert done.stdout.endswith(b"data: [DONE]\n\n")


def test_an_error_before_the_first_byte_and_after_it(gateway: Gateway, upstream: Upstream) -> None:
    early = subprocess.run(command(gateway, "-w", "%{http_code}", model="nobody"), capture_output=True, check=True)
    assert early.stdout.endswith(b"404")
    assert json.loads(early.stdout[:-3])["error"]["code"] == "model_not_found"
    upstream.fail(*[Fault("cut", at=7)] * 2)
    late = subprocess.run(command(gateway), capture_output=True, check=True)
    *_, last = events(late.stdout)
    assert set(json.loads(last[6:])["error"]) == {"message", "type", "param", "code"}
    assert b"[DONE]" not in late.stdout


def test_broken_json_and_a_browser(gateway: Gateway) -> None:
    key = ["-H", f"Authorization: Bearer {gateway.key}"]
    url = f"{gateway.base}/chat/completions"
    broken = subprocess.run(["curl", "-s", url, *key, "-d", '{"model": '], capture_output=True, check=True)
    assert json.loads(broken.stdout)["error"]["code"] == "invalid_json"
    asks = ["-X", "OPTIONS", "-H", "Origin: http://localhost:3000", "-H", "Access-Control-Request-Method: POST"]
    preflight = subprocess.run(["curl", "-si", url, *asks], capture_output=True, check=True, text=True).stdout
    assert preflight.startswith("HTTP/1.1 204")
    assert re.search(r"(?i)^access-control-allow-origin: http://localhost:3000\r?$", preflight, re.MULTILINE)
