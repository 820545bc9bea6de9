"""A GGUF model in a llama.cpp child process: the embedded default, with exact counts, quick stops and cheap forks."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from ponder.core.engine import Cap, Chunk, Sampling, Think
from ponder.core.errors import EngineError, OptionError, Unsupported
from ponder.core.problem import Prompt
from ponder.engines.llama_render import Renderer, response_format
from ponder.engines.llama_server import Event, LlamaServer, ServerOptions, refusal
from ponder.engines.llama_slots import Seat, Slots
from ponder.engines.llama_wire import Decoder, check_sampling, request_body, scales_of


def physical_cores() -> int:
    """Return how many cores this process may use: two threads of one core count once, and a container's quota holds."""
    allowed = os.sched_getaffinity(0) if sys.platform == "linux" else set(range(os.cpu_count() or 1))
    siblings = {_read(f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list") or str(cpu) for cpu in allowed}
    quota, _, period = _read("/sys/fs/cgroup/cpu.max").partition(" ")
    limit = -(-int(quota) // int(period)) if quota.isdigit() else len(siblings)
    return max(1, min(len(siblings), limit))


def _read(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""


class LlamaEngine:
    """One GGUF model: `async with LlamaEngine(path) as engine`. At most `slots` streams run; more wait their turn.

    `context` is in tokens for each slot. `adapters` are (name, GGUF file) pairs that a call switches on by name; around
    the engine, `wrap.Adapted` switches them on for calls that name none.
    `check` looks for noise in the weights, for a file whose hash nobody has checked. Raises `DataError` for a file that
    cannot be loaded. A child that died is started anew by the next call.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        threads: int | None = None,
        slots: int = 8,
        context: int = 4096,
        adapters: Sequence[tuple[str, str | Path]] = (),
        think: Think | None = None,
        chat_template: str = "",
        check: bool = True,
    ) -> None:
        options = ServerOptions(
            Path(path),
            physical_cores() if threads is None else threads,
            slots,
            context,
            adapters=tuple(Path(file) for _, file in adapters),
            chat_template=chat_template,
            check=check,
        )
        self.slots = slots
        self.server = LlamaServer(options)
        self._name = name or f"llama.cpp:{Path(path).stem}"
        self._adapters = tuple(adapter for adapter, _ in adapters)
        twice = next((adapter for adapter in self._adapters if self._adapters.count(adapter) > 1), None)
        if twice is not None:
            raise OptionError(f"there are two adapters named {twice!r}; give each a name of its own")
        self._renderer = Renderer(self.server, think)
        self._slots = Slots(self.server, slots)
        self._starting = asyncio.Lock()
        self._vocabulary = 0
        self._words: dict[str, int | None] = {}
        self._open = False

    @property
    def name(self) -> str:
        """The name given, or the way and the file's name."""
        return self._name

    @property
    def caps(self) -> frozenset[Cap]:
        """What this engine can do with the model that it has loaded."""
        caps = {Cap.PREFILL, Cap.TOKEN_IDS, Cap.LOGPROBS, Cap.LOGIT_BIAS}
        if self._adapters:
            caps.add(Cap.ADAPTER)
        if self._renderer.has_switch:
            caps.add(Cap.THINKING)
        return frozenset(caps)

    @property
    def think(self) -> Think:
        """How the model's template marks its thinking; known once the model is loaded."""
        return self._renderer.think

    @property
    def reread(self) -> int:
        """How many prompt tokens were read again although a slot held them; 0 where forks work as they should."""
        return self._slots.reread

    async def __aenter__(self) -> Self:
        self._open = True
        try:
            await self._ready()
        except BaseException:
            await self.server.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open = False
        await self.server.close()

    async def _ready(self) -> None:
        """Start the child if it does not run."""
        async with self._starting:
            if not self._open:
                raise EngineError(f"{self.name} is closed; use it inside `async with`")
            if not self.server.alive:
                await self.server.start()
                self._slots.forget()
                await self._renderer.start()
                self._vocabulary = await self.server.vocabulary()

    def stream(self, prompt: Prompt, sampling: Sampling) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Open one generation; leaving the block stops it. Raises `OptionError`, `Unsupported` and `EngineError`."""
        return self._stream(prompt, sampling)

    @asynccontextmanager
    async def _stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        await self._ready()
        check_sampling(sampling, self._adapters, self._vocabulary)
        if sampling.ban:
            sampling = replace(sampling, logit_bias=sampling.logit_bias + await self._banned(sampling.ban), ban=())
        if prompt.tools:
            raise Unsupported("this engine calls no tools; use a server that does (--model URL#NAME)")
        rendered = await self._renderer.render(prompt)
        body = request_body(sampling, self._adapters, response_format(prompt))
        decoder = Decoder(self.think, prompt.prefill, rendered.opened)
        async with self._slots.seat(rendered.ids, scales_of(sampling, self._adapters)) as seat:
            body.update(prompt=rendered.ids, id_slot=seat.slot)
            seat.generated = decoder.generated
            async with self.server.events("/completion", body) as events:
                chunks = self._chunks(events, decoder, seat)
                try:
                    yield chunks
                finally:
                    await chunks.aclose()

    async def _banned(self, texts: Sequence[str]) -> tuple[tuple[int, float], ...]:
        """Return a bias that forbids the texts which are one token each."""
        for text in texts:
            if text not in self._words:
                ids = await self.server.tokenize(text, special=False)
                self._words[text] = ids[0] if len(ids) == 1 else None
        found = {token for text in texts if (token := self._words[text]) is not None}
        return tuple((token, -math.inf) for token in sorted(found))

    async def _chunks(self, events: AsyncIterator[Event], decoder: Decoder, seat: Seat) -> AsyncGenerator[Chunk, None]:
        async for event in events:
            if "error" in event:
                raise refusal(self.name, 500, event["error"])
            if progress := event.get("prompt_progress"):
                self._slots.note_progress(seat, progress["processed"], progress["cache"])
            for chunk in decoder.feed(event):
                yield chunk
            if event.get("stop"):
                return
        raise EngineError(
            f"{self.name}: the reply broke off, {await self.server.obituary()}; ask again, and it is started anew",
            retry=True,
        )
