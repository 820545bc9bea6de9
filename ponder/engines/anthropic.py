"""A chat-only service that speaks the messages API: thinking blocks apart, signed, and sent back across tool calls."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Self

from ponder.core.engine import Cap, Chunk, Sampling, StreamFinish, Think, Usage
from ponder.core.errors import EngineError, OptionError
from ponder.core.problem import Prompt, Thinking, ToolCall
from ponder.engines.anthropic_body import Abilities, Signed, message_body, thinking_fields
from ponder.engines.chunks import Chunks
from ponder.engines.http import Client, Json, Timeouts, as_count, as_object, as_text

VERSION = "2023-06-01"
_ADDRESS = re.compile(r"https?://api\.anthropic\.com(?![\w.-])", re.IGNORECASE)
_OPEN, _CLOSE = "<think>", "</think>"
_LETTERS = 4
"""Letters that a token has in the mean: this API counts at the end only."""

_FINISH: dict[str, StreamFinish] = {
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
}


def speaks_messages(url: str) -> bool:
    """Say whether an address is that of the service itself; others are named by `dialect`."""
    return bool(_ADDRESS.match(url))


class AnthropicEngine:
    """A model behind `url` that is reached by `/v1/messages`. Open it with `async with`; the model must be named.

    What the model takes (budgets, efforts, pictures) is asked once, where the service tells. `key_env` names the
    environment variable that holds the key. Raises `EngineError` where the service cannot be reached or refuses the
    key, and `OptionError` for a bad address.
    """

    dialect = "anthropic"

    def __init__(self, url: str, model: str, *, key_env: str | None = None, timeouts: Timeouts | None = None) -> None:
        if not model:
            raise OptionError("the anthropic dialect needs the model's name, as in --model URL#NAME")
        base = url.rstrip("/")
        if re.fullmatch(r"\w+://[^/?#]*", base):
            base += "/v1"
        self._client = Client(
            base, key_env=key_env, timeouts=timeouts, key_header="x-api-key", headers={"anthropic-version": VERSION}
        )
        self._model = model
        self._abilities = Abilities()
        self._signed = Signed()

    def __repr__(self) -> str:
        return f"AnthropicEngine({self.name})"

    @property
    def name(self) -> str:
        """The model and the host."""
        return f"{self._model}@{self._client.where}"

    @property
    def model(self) -> str:
        """The model's name, as the service knows it."""
        return self._model

    @property
    def client(self) -> Client:
        """The connection, for whoever examines the service."""
        return self._client

    @property
    def caps(self) -> frozenset[Cap]:
        """Tools, pictures and thinking, less what the service says that this model lacks."""
        return self._abilities.caps

    @property
    def abilities(self) -> Abilities:
        """What the service says about the model."""
        return self._abilities

    def said(self, thinking: Thinking) -> Json:
        """Return the fields by which the service is asked to think so. Raises `Unsupported`."""
        return thinking_fields(thinking, 1 << 15, self._abilities)

    @property
    def think(self) -> Think:
        """Empty: thinking comes in blocks of its own, and no mark of the model's is ever seen."""
        return Think()

    @property
    def context_length(self) -> int | None:
        """How many tokens a prompt may take, where the service says."""
        return self._abilities.context_length

    async def __aenter__(self) -> Self:
        await self._client.open()
        try:
            self._abilities = Abilities.of(await self._told())
        except BaseException:
            await self._client.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._client.close()

    async def _told(self) -> Json:
        try:
            return await self._client.ask(f"/models/{self._model}", seconds=self._client.timeouts.probe) or {}
        except EngineError as error:
            if error.status in (None, 401, 403):
                raise
            return {}

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open one generation. Raises `Unsupported`, before anything is sent, for what the API has no word for."""
        body = message_body(self._model, prompt, sampling, self._abilities, self._signed)
        reply = MessageReply(self._signed)
        async with self._client.events("/messages", body) as events:
            yield Chunks(self._client, events, reply, logprobs=False)


class MessageReply:
    """Collects one reply from its events: thinking and text as they come, tool calls and counts at the end.

    The text is verbatim but for the marks that stand around thinking, which the API has none of.
    """

    def __init__(self, signed: Signed) -> None:
        self.finish = ""
        self.complete = False
        self.parsed = True
        self._signed = signed
        self._thoughts: list[Json] = []
        self._calls: dict[object, list[str]] = {}
        self._usage: Json = {}
        self._matched: str | None = None
        self._told = False
        self._open = False

    def feed(self, event: Json) -> list[Chunk]:
        """Return the chunks that are known after one event; events of later versions say nothing."""
        kind, index = event.get("type"), event.get("index")
        chunks: list[Chunk] = []
        if kind == "message_start":
            self._usage |= as_object(as_object(event.get("message")).get("usage"))
        elif kind == "content_block_start":
            chunks = self._start(index, as_object(event.get("content_block")))
        elif kind == "content_block_delta":
            chunks = self._delta(index, as_object(event.get("delta")))
        elif kind == "message_delta":
            delta = as_object(event.get("delta"))
            self.finish = as_text(delta.get("stop_reason"))
            self._matched = as_text(delta.get("stop_sequence")) or None
            self._usage |= {name: count for name, count in as_object(event.get("usage")).items() if count is not None}
        elif kind == "message_stop":
            self.complete = True
        return self._tell_prompt(chunks)

    def _start(self, index: object, block: Json) -> list[Chunk]:
        kind = as_text(block.get("type"))
        if kind in ("thinking", "redacted_thinking"):
            self._thoughts.append(dict(block))
        if kind == "tool_use":
            self._calls[index] = [as_text(block.get("id")), as_text(block.get("name")), ""]
        if kind == "redacted_thinking":
            return []
        # A thought is over when something follows it: the end of its block may be that of a limit.
        marks = [self._mark(_CLOSE)] if self._open else []
        self._open = kind == "thinking"
        if self._open:
            return [*marks, self._mark(_OPEN), *_piece(as_text(block.get("thinking")), "think")]
        return [*marks, *_piece(as_text(block.get("text")), "answer")]

    def _delta(self, index: object, delta: Json) -> list[Chunk]:
        kind = delta.get("type")
        if kind == "text_delta":
            return _piece(as_text(delta.get("text")), "answer")
        if kind == "thinking_delta":
            self._grow("thinking", as_text(delta.get("thinking")))
            return _piece(as_text(delta.get("thinking")), "think")
        if kind == "signature_delta":
            self._grow("signature", as_text(delta.get("signature")))
        elif kind == "input_json_delta" and index in self._calls:
            self._calls[index][2] += as_text(delta.get("partial_json"))
        return []

    def _mark(self, mark: str) -> Chunk:
        """Return a mark around thinking: the API shows none, but bills the token that stands for it."""
        return Chunk(mark, "think", 1, markup=True, exact=False)

    def _grow(self, name: str, text: str) -> None:
        if self._thoughts:
            self._thoughts[-1][name] = as_text(self._thoughts[-1].get(name)) + text

    def _tell_prompt(self, chunks: list[Chunk]) -> list[Chunk]:
        """Put the size of the prompt on the first chunk: a reply that is left early has no last one."""
        if chunks and not self._told:
            self._told = True
            usage = self._counted()
            chunks[0] = chunks[0]._replace(usage=Usage(usage.prompt, None, usage.cached))
        return chunks

    def end(self) -> list[Chunk]:
        """Return the last chunk, and keep the signed thoughts for the turn that brings the tools' results."""
        if self.finish == "refusal":
            raise EngineError("withheld the rest of the reply (refusal); ask in other words")
        calls = tuple(ToolCall(id, name, arguments or "{}") for id, name, arguments in self._calls.values())
        self._signed.keep([call.id for call in calls], self._thoughts)
        finish: StreamFinish = "tool_calls" if calls else _FINISH.get(self.finish, "stop")
        usage = self._counted()
        return [Chunk("", "answer", 0, finish=finish, matched_stop=self._matched, tool_calls=calls, usage=usage)]

    def _counted(self) -> Usage:
        """Return the counts as the rest of us count: a prompt includes what was read from a cache or written to one."""
        names = ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        parts = [as_count(self._usage.get(name)) for name in names]
        prompt = None if parts[0] is None else sum(part or 0 for part in parts)
        details = as_object(self._usage.get("output_tokens_details"))
        return Usage(
            prompt, as_count(self._usage.get("output_tokens")), parts[2], as_count(details.get("thinking_tokens"))
        )


def _piece(text: str, channel: str) -> list[Chunk]:
    """Return a chunk of text whose tokens are a guess."""
    guess = max(1, round(len(text) / _LETTERS))
    return [Chunk(text, "think" if channel == "think" else "answer", guess, exact=False)] if text else []
