"""A model server on the loopback that says what it is told to, in each server's own protocol, and counts its tokens.

    async with FakeServer("vllm", "<think>two and two</think>four", tick=0.01) as server:
        async with OpenAIEngine(server.url) as engine: ...
    assert server.generated <= read + 2

A token is a word with the blank before it; think marks stand alone. One is generated each `tick` seconds and sent at
once; when the client goes away the generation stops, as on a real server. `faults` maps the number of a generation
(from 0) to what goes wrong in it. `requests` holds every request as it came.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from aiohttp import web
from support.writers import ENDPOINTS, Json, Vocabulary, Writer, tokenize

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if opened %}<think>\n{% endif %}{% endif %}"
    "{# <think></think> enable_thinking #}"
)
Dialect = Literal["plain", "vllm", "llama.cpp"]


@dataclass(frozen=True)
class Fault:
    """What goes wrong: before the headers (`status`, `slow`, `close`, `html`, `json`), or after `at` tokens."""

    kind: Literal["status", "slow", "close", "html", "json", "cut", "end", "broken", "error", "stall", "raw"]
    at: int = 0
    status: int = 500
    headers: Mapping[str, str] = field(default_factory=dict)
    body: str = '{"error": {"message": "scripted"}}'


@dataclass(frozen=True)
class Seen:
    """One request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Json


async def until(condition: Callable[[], bool]) -> None:
    """Wait until `condition` holds, ten seconds at most."""
    for _ in range(2000):
        if condition():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("what was waited for did not come about")


class FakeServer:
    """See the module. `parser` says whether the chat endpoint sends thinking in a field of its own, and under which
    name; `opened` that the template opens the thought; `usage` whether counts are sent; `group` how many tokens go
    into one event; `tools` are tool calls that end a chat reply; `missing` endpoints answer 404, and
    `logprobs` may be turned off."""

    def __init__(
        self,
        dialect: Dialect = "plain",
        reply: str = "The answer is four.",
        *,
        model: str = "toy",
        tick: float = 0.0,
        parser: str = "",
        opened: bool = False,
        usage: bool = True,
        group: int = 1,
        tools: tuple[Json, ...] = (),
        key: str = "",
        missing: frozenset[str] = frozenset(),
        faults: Mapping[int, Fault] | None = None,
    ) -> None:
        self.dialect, self.reply, self.model, self.tick = dialect, reply, model, tick
        self.parser, self.opened, self.usage, self.group, self.tools = parser, opened, usage, group, tools
        self.key, self.missing, self.faults = key, missing, dict(faults or {})
        self.logprobs = True
        self.vocabulary = Vocabulary()
        self.requests: list[Seen] = []
        self.generated = self.generations = self.streams = self.connections = 0
        self.url = ""
        self._peers: set[object] = set()
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> FakeServer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        self._runner = web.AppRunner(app, handler_cancellation=True, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/v1"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    @property
    def body(self) -> Json:
        """The last request for a generation."""
        return next(seen.body for seen in reversed(self.requests) if seen.body.get("stream"))

    def paths(self) -> list[str]:
        """The paths that were asked, in order."""
        return [seen.path for seen in self.requests]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else {}
        path = "/" + request.match_info["path"]
        self.requests.append(Seen(request.method, path, dict(request.headers), body))
        if request.transport is not None and request.transport not in self._peers:
            self._peers.add(request.transport)
            self.connections += 1
        if self.key and request.headers.get("Authorization") != f"Bearer {self.key}":
            shown = request.headers.get("Authorization", "no key")
            return web.json_response({"error": {"message": f"bad key: {shown}"}}, status=401)
        if path in self.missing:
            return web.json_response({"error": {"message": "no such route"}}, status=404)
        if body.get("stream"):
            return await self._generate(request, path, body)
        return self._answer(path, body)

    def _answer(self, path: str, body: Json) -> web.Response:
        """Answer everything that is not a generation."""
        owner = {"vllm": "vllm", "llama.cpp": "llamacpp"}.get(self.dialect, "someone")
        entry: Json = {"id": self.model, "object": "model", "owned_by": owner}
        if self.dialect == "vllm":
            entry["max_model_len"] = 4096
        if path == "/v1/models":
            return web.json_response({"object": "list", "data": [entry]})
        if self.dialect == "vllm" and path == "/version":
            return web.json_response({"version": "1.0"})
        if self.dialect == "vllm" and path == "/tokenize":
            text = body["prompt"] if "prompt" in body else self.render(body["messages"])
            ids = self.vocabulary.ids(text)
            shown = [token.replace(" ", "Ġ").replace("\n", "Ċ") for token in tokenize(text)]
            return web.json_response({"count": len(ids), "tokens": ids, "token_strs": shown, "max_model_len": 4096})
        if self.dialect == "llama.cpp" and path == "/props":
            settings = {"n_ctx": 2048}
            return web.json_response({"default_generation_settings": settings, "chat_template": TEMPLATE})
        if self.dialect == "llama.cpp" and path == "/tokenize":
            return web.json_response({"tokens": self.vocabulary.ids(body["content"])})
        if self.dialect == "llama.cpp" and path == "/apply-template":
            return web.json_response({"prompt": self.render(body["messages"])})
        return web.json_response({"error": {"message": f"no route {path}"}}, status=404)

    def render(self, messages: list[Json]) -> str:
        """Render messages as `TEMPLATE` does."""
        text = "".join(f"<|{m['role']}|>{m['content']}" for m in messages) + "<|assistant|>"
        return text + ("<think>\n" if self.opened else "")

    def rest(self, said: str, reply: str) -> str:
        """Return what is left of the reply behind what was said already."""
        return reply.removeprefix(said)

    def counted(self, writer: Writer) -> Json:
        """Return the usage of a reply."""
        prompt = len(tokenize(writer.prompt))
        return {"prompt_tokens": prompt, "completion_tokens": writer.count, "total_tokens": prompt + writer.count}

    async def _generate(self, request: web.Request, path: str, body: Json) -> web.StreamResponse:
        fault = self.faults.get(self.generations)
        self.generations += 1
        self.streams += 1
        try:
            early = await self._early(request, fault)
            return early or await self._stream(request, path, body, fault)
        finally:
            self.streams -= 1

    async def _early(self, request: web.Request, fault: Fault | None) -> web.StreamResponse | None:
        """Fail before the headers of a stream."""
        kind = fault.kind if fault else ""
        assert request.transport is not None
        if fault and kind == "status":
            return web.Response(status=fault.status, headers=fault.headers, text=fault.body)
        if kind == "close":
            request.transport.abort()
        if kind in ("slow", "close"):
            await asyncio.sleep(60)
        if kind == "html":
            return web.Response(text="<html><head><title>Sign in</title></head></html>", content_type="text/html")
        if kind == "json":
            return web.json_response({"choices": [{"message": {"content": "all at once"}}]})
        return None

    async def _stream(self, request: web.Request, path: str, body: Json, fault: Fault | None) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-cache"})
        await response.prepare(request)
        writer = ENDPOINTS[path](self, body)
        for event in writer.begin():
            await send(response, event)
        count = 0
        async for event in writer.events(self._tokens(writer, body)):
            if fault and count >= fault.at:
                return await self._fail(request, response, fault)
            await send(response, event)
            count += 1
        if fault and fault.kind not in ("status", "slow", "close", "html", "json"):
            return await self._fail(request, response, fault)
        for event in writer.finish():
            await send(response, event)
        if path not in ("/completion", "/v1/messages"):
            await response.write(b": the end\n\ndata: [DONE]\n\n")
        await response.write_eof()
        return response

    async def _fail(self, request: web.Request, response: web.StreamResponse, fault: Fault) -> web.StreamResponse:
        assert request.transport is not None
        if fault.kind == "cut":
            request.transport.abort()
        elif fault.kind == "broken":
            await response.write(b"data: {nope\n\n")
        elif fault.kind == "error":
            await send(response, json.loads(fault.body))
        elif fault.kind == "raw":
            await response.write(fault.body.encode())
        elif fault.kind == "stall":
            await asyncio.sleep(60)
        return response

    async def _tokens(self, writer: Writer, body: Json) -> AsyncIterator[str]:
        """Generate the reply, a token a tick, up to the limit; the writer stops at a stop string."""
        limit = body.get("max_tokens") or body.get("max_completion_tokens") or body.get("n_predict") or 16
        for number, token in enumerate(tokenize(writer.script)):
            if number == limit:
                writer.finished = "length"
                return
            await asyncio.sleep(self.tick)
            self.generated += 1
            yield token


async def send(response: web.StreamResponse, event: Json) -> None:
    """Send one event."""
    await response.write(b"data: " + json.dumps(event).encode() + b"\n\n")
