"""A gateway on a free port of the loopback, over engines that a test holds in its hand.

async with running(settings, {"main": Echo()}) as gateway:
    reply = await gateway.ask(model="m", messages=[...])
"""

from __future__ import annotations

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from ponder.core.engine import Engine
from ponder.core.trace import Call
from ponder.engines.open import Loaded
from ponder.methods import catalogue
from ponder.serve.app import build
from ponder.serve.gateway import GATEWAY, Gateway
from ponder.serve.listen import runner_of
from ponder.serve.observe import Ended, Observers, Seen
from ponder.serve.settings import Model, Settings, Upstream

Json = dict[str, Any]
USER = [{"role": "user", "content": "What is 6 times 7?"}]


@dataclass
class Told:
    """An observer that keeps what it is told."""

    started: list[Seen] = field(default_factory=list)
    first: list[Seen] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    ended: list[tuple[Seen, Ended]] = field(default_factory=list)

    def request_started(self, seen: Seen) -> None:
        self.started.append(seen)

    def first_byte(self, seen: Seen) -> None:
        self.first.append(seen)

    def upstream_call(self, seen: Seen, call: Call) -> None:
        self.calls.append(call)

    def request_ended(self, seen: Seen, ended: Ended) -> None:
        self.ended.append((seen, ended))


@dataclass
class Reply:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Json:
        return json.loads(self.text)

    @property
    def error(self) -> Json:
        return self.json["error"]

    @property
    def events(self) -> list[Json]:
        """The events of a stream, its end mark left out."""
        lines = [line.removeprefix("data: ") for line in self.text.split("\n\n") if line.startswith("data: ")]
        return [json.loads(line) for line in lines if line != "[DONE]"]

    @property
    def comments(self) -> list[str]:
        return [line for line in self.text.split("\n\n") if line.startswith(":")]

    def said(self, name: str = "content", index: int = 0) -> str:
        """The deltas of one field of one choice, joined."""
        choices = [choice for event in self.events for choice in event.get("choices", ())]
        return "".join(choice["delta"].get(name) or "" for choice in choices if choice["index"] == index)


@dataclass
class Running:
    """A gateway that listens."""

    gateway: Gateway
    url: str
    session: aiohttp.ClientSession
    told: Told
    runner: web.AppRunner

    async def call(self, verb: str, path: str, body: object = None, **more: Any) -> Reply:
        """Send one request and read the whole reply."""
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        data = io.BytesIO(body) if isinstance(body, bytes) else None
        async with self.session.request(verb, self.url + path, data=data, **more) as reply:
            return Reply(reply.status, reply.headers, await reply.text())

    async def get(self, path: str, **more: Any) -> Reply:
        return await self.call("GET", path, **more)

    async def ask(
        self, path: str = "/v1/chat/completions", headers: Mapping[str, str] | None = None, **body: Any
    ) -> Reply:
        """Ask for a chat; `model` and `messages` have defaults."""
        return await self.call("POST", path, {"model": "echo", "messages": USER, **body}, headers=headers)


def echoing(**models: Model) -> Settings:
    """Settings with one engine, `main`, and one model, `echo`, answered by `sample`."""
    plain = Model("echo", method={"method": "sample"})
    return Settings(engines={"main": Upstream(model="echo")}, models={"echo": plain, **models})


@asynccontextmanager
async def running(
    settings: Settings | None = None, engines: Mapping[str, Engine] | None = None
) -> AsyncIterator[Running]:
    """Run a gateway; `engines` stand in for those that the settings would open."""
    told = Told()
    gateway = Gateway(
        settings or echoing(),
        catalogue(),
        Observers([told]),
        {name: Loaded(engine, 64, name) for name, engine in (engines or {}).items()},
    )
    app = build(gateway)
    runner = runner_of(app, 1.0)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    try:
        await site.start()
        port = runner.addresses[0][1]
        async with aiohttp.ClientSession() as session:
            yield Running(app[GATEWAY], f"http://127.0.0.1:{port}", session, told, runner)
    finally:
        await runner.cleanup()
