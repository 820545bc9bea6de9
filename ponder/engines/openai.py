"""Any server that speaks OpenAI's protocol, as an engine: chat without a prefill, raw completion with one."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self, cast

from ponder.core.engine import Cap, Chunk, Sampling, Think
from ponder.core.errors import EngineError, Unsupported
from ponder.core.problem import Prompt, Thinking
from ponder.engines.chunks import Chunks, Reader
from ponder.engines.delta import read_chat, read_completion
from ponder.engines.dialects import SelfRun
from ponder.engines.http import Client, Json, Timeouts, as_object
from ponder.engines.llama_server import Event
from ponder.engines.llama_wire import Decoder, request_body
from ponder.engines.probe import Server, Wanted, check_dialect, probe
from ponder.engines.render import raw_options
from ponder.engines.reply import Reply
from ponder.engines.template import MARKS, ChatTemplate

_USUAL = Think(*MARKS[0])


class OpenAIEngine:
    """A model behind `url`. Open it with `async with`: the server is asked once what it is and what it can do.

    `model` may be left empty where the server holds only one. `key_env` names the environment variable that holds the
    server's key. `dialect` is `auto` or a name from `dialects.py`. `chat_template` (a `.jinja` file, a
    `tokenizer_config.json` or a model's folder) lets a server without a template endpoint continue half-written
    replies. `think` overrides how the model marks its thinking.

    Raises `EngineError` where the server cannot be reached, and `OptionError` for a bad address or a missing key.
    """

    def __init__(
        self,
        url: str,
        model: str = "",
        *,
        key_env: str | None = None,
        dialect: str = "auto",
        chat_template: Path | None = None,
        think: Think | None = None,
        timeouts: Timeouts | None = None,
    ) -> None:
        base = url.rstrip("/")
        if re.fullmatch(r"\w+://[^/?#]*", base):
            base += "/v1"
        check_dialect(dialect)
        template = ChatTemplate.load(chat_template) if chat_template is not None else None
        self._client = Client(base, key_env=key_env, timeouts=timeouts)
        self._root = re.sub(r"/v\d+$", "", base)
        self._wanted = Wanted(model, dialect, template, think)
        self._server: Server | None = None
        self._parses = False

    def __repr__(self) -> str:
        return f"OpenAIEngine({self.name})"

    @property
    def name(self) -> str:
        """The model and the host: `qwen3@127.0.0.1:8000`."""
        model = self._server.model if self._server else self._wanted.model
        if model.endswith(".gguf"):
            # llama.cpp calls a model by its whole path on the server, which is nobody's business.
            model = re.split(r"[/\\]", model)[-1]
        return f"{model or 'model'}@{self._client.where}"

    @property
    def caps(self) -> frozenset[Cap]:
        """What the dialect can do, less what this server turned out to lack."""
        return self._open.caps

    @property
    def think(self) -> Think:
        """How the model marks its thinking; empty where nobody says."""
        return self._open.think

    @property
    def dialect(self) -> str:
        """The name of the dialect that is spoken."""
        return self._open.dialect.name

    @property
    def model(self) -> str:
        """The model's name, as the server knows it."""
        return self._open.model

    @property
    def client(self) -> Client:
        """The connection, for whoever examines the server."""
        return self._client

    @property
    def root(self) -> str:
        """The server's address without the version."""
        return self._root

    def said(self, thinking: Thinking) -> Json:
        """Return the fields by which this server is asked to think so. Raises `Unsupported`."""
        return self._open.dialect.thinking(thinking)

    def body(self, prompt: Prompt, sampling: Sampling) -> Json:
        """Return the body of a chat call."""
        return self._open.dialect.chat(self._open.model, prompt, sampling)

    @property
    def context_length(self) -> int | None:
        """How many tokens prompt and reply may take together, where the server says."""
        return self._open.context_length

    @property
    def _open(self) -> Server:
        if self._server is None:
            raise EngineError(f"{self.name} is not open; use it inside `async with`")
        return self._server

    async def __aenter__(self) -> Self:
        await self._client.open()
        try:
            self._server = await probe(self._client, self._root, self._wanted)
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open one generation. Raises `Unsupported`, before anything is sent, for what the server has no word for."""
        sampling = self._within_context(sampling)
        call = await self._raw(prompt, sampling) if prompt.prefill else self._chat(prompt, sampling)
        try:
            async with self._client.events(call.path, call.body) as events:
                yield Chunks(self._client, events, call.reader, bool(sampling.logprobs))
        except EngineError as error:
            raise self._learnt(error, call.body) or error from None
        finally:
            self._parses = self._parses or call.reader.parsed

    def _learnt(self, error: EngineError, body: Json) -> Unsupported | None:
        """Note that the server keeps no thinking budget, where the error says so; the next call asks for none.

        That it has no parser of thoughts also says that a model without think marks has nothing to turn on or off.
        """
        server = self._open
        dialect = server.dialect
        if not (isinstance(dialect, SelfRun) and dialect.refuses_budget(body, error)):
            return None
        caps = server.caps if server.think else server.caps - {Cap.THINKING}
        self._server = replace(server, dialect=replace(dialect, budgets=False), caps=caps)
        return Unsupported(str(error))

    def _within_context(self, sampling: Sampling) -> Sampling:
        """Return a limit that the server takes: vLLM refuses one beyond its context, but ends a reply that fills it."""
        length = self.context_length
        return sampling if length is None or sampling.max_tokens <= length else replace(sampling, max_tokens=length)

    def _chat(self, prompt: Prompt, sampling: Sampling) -> _Call:
        server = self._open
        asked = prompt.thinking
        none = asked is not None and (asked.mode == "off" or asked.tokens == 0)
        opened = server.think.opened and not none
        reply = Reply(server.think or _USUAL, read_chat, opened=opened, parsed=self._parses)
        return _Call("/chat/completions", server.dialect.chat(server.model, prompt, sampling), reply)

    async def _raw(self, prompt: Prompt, sampling: Sampling) -> _Call:
        server = self._open
        if server.renderer is None:
            raise Unsupported(f"{self.name} cannot continue a half-written reply; give the model's chat_template")
        extra = raw_options(server.dialect, prompt) | self._format(prompt)
        marks = server.think or _USUAL
        if server.dialect.name == "llama.cpp":
            server.dialect.sampling(sampling)
            body: Json = {**request_body(sampling, (), {}), **extra}
            raw = await server.renderer.render(prompt)
            decoder = Decoder(marks, prompt.prefill, raw.opened)
            body = server.dialect.add_extra({**body, "prompt": raw.prompt}, prompt)
            return _Call(self._root + "/completion", body, _Native(decoder))
        raw = await server.renderer.render(prompt)
        body = {**server.dialect.completion(server.model, raw.prompt, sampling), **extra}
        body = server.dialect.add_extra(body, prompt)
        return _Call("/completions", body, Reply(marks, read_completion, prompt.prefill, raw.opened))

    def _format(self, prompt: Prompt) -> Json:
        """Return the response format; a grammar can only hold it from the first token of the answer on."""
        if not prompt.response_format:
            return {}
        close = self.think.close.strip()
        if self.dialect not in ("vllm", "llama.cpp") or not (close and prompt.prefill.rstrip().endswith(close)):
            raise Unsupported(
                f"{self.name} cannot hold the rest of a half-written reply to a response format; "
                "leave one of the two out, or close the thought first"
            )
        asked = as_object(json.loads(prompt.response_format))
        if self.dialect == "vllm":
            return {"response_format": asked}
        schema = as_object(asked.get("json_schema")).get("schema", {})
        return {} if asked.get("type") == "text" else {"json_schema": schema}


class _Call(NamedTuple):
    path: str
    body: Json
    reader: Reader


class _Native:
    """Reads llama.cpp's own completion events; the last of them is the last chunk."""

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder
        self.finish = ""
        self.complete = self.parsed = False

    def feed(self, event: Json) -> list[Chunk]:
        chunks = self._decoder.feed(cast(Event, event))
        if event.get("stop"):
            self.finish, self.complete = "stop", True
        return chunks

    def end(self) -> list[Chunk]:
        return []
