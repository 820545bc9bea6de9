"""A server on the loopback that plays a wire fixture: fixed answers by path, and one stream of events for each call.

    async with Played(load("sglang")) as server:
        async with OpenAIEngine(server.url) as engine: ...
    assert server.body["custom_params"] == ...

`tick` is the pause before each event; `left` counts the streams whose client went away before their end.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiohttp import web

_FIXTURES = Path(__file__).parents[1] / "engines" / "fixtures"
Json = dict[str, Any]


def load(name: str) -> Json:
    """Read a fixture; each must name its source and say whether a real server confirmed it."""
    fixture: Json = json.loads((_FIXTURES / f"{name}.json").read_text("utf-8"))
    assert all(source.startswith("https://") for source in fixture["source"])
    assert fixture["run"]
    return fixture


class Played:
    """See the module. `answers` and `events` may be changed while it runs; `status` refuses every stream."""

    def __init__(self, fixture: Mapping[str, Any], *, tick: float = 0.0) -> None:
        self.answers: dict[str, Json] = dict(fixture["answers"])
        self.events: list[Json] = list(fixture["events"])
        self.tick = tick
        self.status = 200
        self.headers: dict[str, str] = {}
        self.refusal: Json = {}
        self.bodies: list[Json] = []
        self.asked: list[str] = []
        self.seen_headers: list[Mapping[str, str]] = []
        self.sent = self.left = 0
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Played:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def body(self) -> Json:
        """The last body that asked for a stream."""
        return self.bodies[-1]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        asked = f"{request.method} /{request.match_info['path']}"
        self.asked.append(asked)
        self.seen_headers.append(dict(request.headers))
        body = await request.json() if request.can_read_body else {}
        if not body.get("stream"):
            known = asked in self.answers
            return web.json_response(self.answers[asked] if known else {"error": {}}, status=200 if known else 404)
        self.bodies.append(body)
        if self.status != 200:
            return web.json_response(self.refusal, status=self.status, headers=self.headers)
        return await self._stream(request)

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        try:
            for event in self.events:
                await asyncio.sleep(self.tick)
                name = f"event: {event['type']}\n" if "type" in event else ""
                await response.write(f"{name}data: {json.dumps(event)}\n\n".encode())
                self.sent += 1
        except (asyncio.CancelledError, ConnectionError):
            self.left += 1
            raise
        if not any("type" in event for event in self.events):
            await response.write(b"data: [DONE]\n\n")
        await response.write_eof()
        return response
