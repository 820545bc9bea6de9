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
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web

TEMPLATE = (
    "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% if opened %}<think>\n{% endif %}{% endif %}"
    "{# <think></think> enable_thinking #}"
)
Dialect = Literal["plain", "vllm", "llama.cpp"]
Json = dict[str, Any]


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


def tokenize(text: str) -> list[str]:
    """Split text into this server's tokens; they join to `text` again."""
    return re.findall(r"</?think>|\s*[^\s<]+|\s*<(?!/?think>)[^\s<]*|\s+", text)


class Vocabulary:
    """Gives each token a small id, in the order of meeting."""

    def __init__(self) -> None:
        self._ids: dict[str, int] = {}

    def ids(self, text: str) -> list[int]:
        return [self._ids.setdefault(token, len(self._ids) + 1) for token in tokenize(text)]

    def text(self, ids: list[int]) -> str:
        words = {number: token for token, number in self._ids.items()}
        return "".join(words[number] for number in ids)


class FakeServer:
    """See the module. `parser` says whether the chat endpoint sends thinking in a field of its own, and under which
    name; `opened` that the template opens the thought; `usage` whether counts are sent; `group` how many tokens go
    into one event; `tools` are tool calls that end a chat reply; `routes` turns single endpoints off."""

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
        if self.dialect == "llama.cpp" and path == "/apply-template":
            return web.json_response({"prompt": self.render(body["messages"])})
        return web.json_response({"error": {"message": f"no route {path}"}}, status=404)

    def render(self, messages: list[Json]) -> str:
        """Render messages as `TEMPLATE` does."""
        text = "".join(f"<|{m['role']}|>{m['content']}" for m in messages) + "<|assistant|>"
        return text + ("<think>\n" if self.opened else "")

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
        writer = {"/v1/chat/completions": ChatWriter, "/v1/completions": RawWriter, "/completion": NativeWriter}[path](
            self, body
        )
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
        if path != "/completion":
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


class Writer:
    """Writes one reply in the words of one endpoint."""

    def __init__(self, server: FakeServer, body: Json) -> None:
        self.server, self.body = server, body
        self.count, self.text, self.matched, self.finished = 0, "", "", "stop"
        stops = body.get("stop") or []
        self.stops = [stops] if isinstance(stops, str) else stops
        self.prompt = self.read_prompt()
        self.script = self.read_script()

    def read_prompt(self) -> str:
        prompt = self.body["prompt"] if "prompt" in self.body else self.server.render(self.body["messages"])
        if isinstance(prompt, list):
            return "".join(p if isinstance(p, str) else self.server.vocabulary.text([p]) for p in prompt)
        return str(prompt)

    def read_script(self) -> str:
        """Return what is left to say: the reply goes on behind what stands after the last turn's mark."""
        said = self.prompt.rpartition("<|assistant|>")[2]
        reply = self.server.reply
        if self.server.opened:
            said, reply = said.removeprefix("<think>\n"), reply.removeprefix("<think>").lstrip()
        return reply.removeprefix(said)

    def begin(self) -> list[Json]:
        return []

    async def events(self, tokens: AsyncIterator[str]) -> AsyncIterator[Json]:
        """Group tokens into events; stop at a stop string, which is not part of the text."""
        group: list[str] = []
        async for token in tokens:
            self.count += 1
            group.append(token)
            self.text += token
            found = [(self.text.find(stop), stop) for stop in self.stops if stop in self.text]
            if found:
                at, self.matched = min(found)
                kept = "".join(group)[: at - len(self.text)] if at < len(self.text) else "".join(group)
                yield self.event(kept, group)
                return
            if len(group) == self.server.group:
                yield self.event("".join(group), group)
                group = []
        if group:
            yield self.event("".join(group), group)

    def event(self, text: str, tokens: list[str]) -> Json:
        raise NotImplementedError

    def finish(self) -> list[Json]:
        raise NotImplementedError

    def usage(self) -> Json:
        prompt = len(tokenize(self.prompt))
        return {"prompt_tokens": prompt, "completion_tokens": self.count, "total_tokens": prompt + self.count}

    def choice(self, **fields: Any) -> Json:
        return {"id": "x", "choices": [{"index": 0, "finish_reason": None, **fields}]}

    def decorate(self, event: Json, tokens: list[str]) -> Json:
        """Add what a dialect says with each event."""
        choice = event["choices"][0]
        server = self.server
        if server.dialect == "vllm":
            if self.body.get("return_token_ids"):
                choice["token_ids"] = [i for token in tokens for i in server.vocabulary.ids(token)]
            if self.body["stream_options"].get("continuous_usage_stats"):
                event["usage"] = self.usage()
        if server.dialect == "llama.cpp" and self.body.get("timings_per_token"):
            event["timings"] = {"cache_n": 1, "prompt_n": len(tokenize(self.prompt)) - 1, "predicted_n": self.count}
        return event

    def end(self, final: Json) -> list[Json]:
        """Return the event that ends the choice, and the usage."""
        choice = final["choices"][0]
        choice["finish_reason"] = self.finished
        if self.server.dialect == "vllm":
            choice["stop_reason"] = self.matched or None
        if self.server.dialect == "llama.cpp" and self.body.get("verbose"):
            final["__verbose"] = {"stopping_word": self.matched, "tokens_predicted": self.count}
        events = [final]
        if self.server.usage and self.body.get("stream_options", {}).get("include_usage"):
            events.append({"id": "x", "choices": [], "usage": self.usage()})
        return events


class ChatWriter(Writer):
    """`/v1/chat/completions`; with a parser, thinking goes into its field and the marks are taken away."""

    def __init__(self, server: FakeServer, body: Json) -> None:
        super().__init__(server, body)
        self.thinking = server.opened and bool(server.parser)

    def begin(self) -> list[Json]:
        return [self.choice(delta={"role": "assistant", "content": ""})]

    def event(self, text: str, tokens: list[str]) -> Json:
        delta: Json = {"content": text}
        if self.server.parser:
            if "<think>" in text or "</think>" in text:
                before, _, after = text.partition("</think>") if "</think>" in text else ("", "", text)
                self.thinking = "<think>" in text
                delta = (
                    {self.server.parser: before or after.replace("<think>", "")}
                    if self.thinking
                    else {"content": after}
                )
                if not any(delta.values()):
                    delta = {}
            elif self.thinking:
                delta = {self.server.parser: text}
        event = self.choice(delta=delta)
        if self.body.get("logprobs"):
            rows = [{"token": t, "logprob": -0.5, "top_logprobs": [{"token": t, "logprob": -0.5}]} for t in tokens]
            event["choices"][0]["logprobs"] = {"content": rows}
        return self.decorate(event, tokens)

    def finish(self) -> list[Json]:
        events: list[Json] = []
        for index, call in enumerate(self.server.tools):
            text = call["arguments"]
            first = {"index": index, "id": call["id"], "type": "function", "function": {"name": call["name"]}}
            events.append(self.choice(delta={"tool_calls": [first]}))
            for piece in (text[: len(text) // 2], text[len(text) // 2 :]):
                part = {"index": index, "function": {"arguments": piece}}
                events.append(self.choice(delta={"tool_calls": [part]}))
            self.finished = "tool_calls"
        return [*events, *self.end(self.choice(delta={}))]


class RawWriter(Writer):
    """`/v1/completions`."""

    def event(self, text: str, tokens: list[str]) -> Json:
        event = self.choice(text=text)
        if self.body.get("logprobs"):
            table = {"tokens": tokens, "token_logprobs": [-0.5] * len(tokens)}
            event["choices"][0]["logprobs"] = {**table, "top_logprobs": [{t: -0.5, "other": -1.5} for t in tokens]}
        return self.decorate(event, tokens)

    def finish(self) -> list[Json]:
        return self.end(self.choice(text=""))


class NativeWriter(Writer):
    """llama.cpp's `/completion`."""

    def begin(self) -> list[Json]:
        total = len(tokenize(self.prompt))
        progress = {"total": total, "cache": 0, "processed": total, "time_ms": 1}
        return [{**self.state(), "content": "", "tokens": [0], "prompt_progress": progress}]

    def state(self) -> Json:
        total = len(tokenize(self.prompt))
        timings = {"cache_n": 0, "prompt_n": total, "predicted_n": self.count}
        return {"stop": False, "tokens_predicted": self.count, "tokens_evaluated": total, "timings": timings}

    def event(self, text: str, tokens: list[str]) -> Json:
        ids = [i for token in tokens for i in self.server.vocabulary.ids(token)]
        event = {**self.state(), "content": text, "tokens": ids}
        if self.body.get("n_probs"):
            event["completion_probabilities"] = [
                {"token": t, "logprob": -0.5, "top_logprobs": [{"token": t, "logprob": -0.5}]} for t in tokens
            ]
        return event

    def finish(self) -> list[Json]:
        kind = "word" if self.matched else {"stop": "eos", "length": "limit"}[self.finished]
        end = {"content": "", "tokens": [], "stop": True, "stop_type": kind, "stopping_word": self.matched}
        return [{**self.state(), **end}]
