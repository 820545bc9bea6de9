"""What comes over the wire and is no request: refused in OpenAI's shape, and never repeated in the log."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
from typing import Any
from urllib.parse import urlsplit

import pytest
from support.gateway import Running, running

KEY = "pk-" + "s" * 60
BODY = json.dumps({"model": "echo", "messages": [{"role": "user", "content": "hi"}]}).encode()
POST = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"


async def raw(gateway: Running, sent: bytes) -> tuple[int, dict[str, str], Any]:
    """Send bytes; return the status, the headers and the JSON of the reply."""
    where = urlsplit(gateway.url)
    reader, writer = await asyncio.open_connection(where.hostname, where.port)
    writer.write(sent)
    async with asyncio.timeout(10):
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), headers, json.loads(body)


@pytest.mark.parametrize(
    "sent",
    [
        b"GARBAGE\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + KEY.encode() * 200 + b"\r\n\r\n",
        b"GET /v1/" + KEY.encode() * 200 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nHost: x\r\nAuthorization Bearer " + KEY.encode() + b"\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n",
        POST + b"Content-Length: many\r\n\r\n{}",
        POST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_what_is_no_request_is_refused_in_openai_s_shape(sent: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with running() as gateway:
            status, headers, body = await raw(gateway, sent)
            again = await gateway.ask()
    assert (status, body["error"]["type"]) == (400, "invalid_request_error")
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert (headers["x-should-retry"], headers["content-type"]) == ("false", "application/json")
    assert again.status == 200
    assert "Traceback" not in caplog.text
    for text in (caplog.text, str(body), str(headers)):
        assert KEY[:20] not in text


async def test_a_compressed_body_is_read_and_a_bomb_is_a_413() -> None:
    packed, bomb = gzip.compress(BODY), gzip.compress(b" " * (64 << 20))
    async with running() as gateway:
        head = POST + b"Content-Encoding: gzip\r\nContent-Length: "
        good = await raw(gateway, head + str(len(packed)).encode() + b"\r\n\r\n" + packed)
        much = await raw(gateway, head + str(len(bomb)).encode() + b"\r\n\r\n" + bomb)
    assert (good[0], much[0]) == (200, 413)
    assert much[2]["error"]["code"] == "request_too_large"
