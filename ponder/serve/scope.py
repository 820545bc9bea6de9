"""Keeps a client's stop strings to the answer: one that occurs in the thought must not end it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from ponder.core.engine import Cap, Chunk, Engine, Sampling, Think
from ponder.core.problem import Prompt


class Scoped:
    """An engine that looks for `stop` itself, in the answer channel, where a call would hand it to the server.

    Calls that name stop strings of their own keep theirs. Text that may be the beginning of a stop string is held back
    until it is known.
    """

    def __init__(self, engine: Engine, stop: tuple[str, ...]) -> None:
        self._engine, self._stop = engine, stop

    @property
    def name(self) -> str:
        """The inner engine's name."""
        return self._engine.name

    @property
    def caps(self) -> frozenset[Cap]:
        """What the inner engine can do."""
        return self._engine.caps

    @property
    def think(self) -> Think:
        """The inner engine's think marks."""
        return self._engine.think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open a generation that ends before a stop string of its answer."""
        if sampling.stop != self._stop or not self._engine.think:
            async with self._engine.stream(prompt, sampling) as chunks:
                yield chunks
            return
        async with self._engine.stream(prompt, replace(sampling, stop=())) as chunks:
            yield _ScopedChunks(chunks, self._stop)


class _ScopedChunks:
    def __init__(self, chunks: AsyncIterator[Chunk], stop: tuple[str, ...]) -> None:
        self._chunks, self._stop = chunks, stop
        self._held = ""
        self._ready: list[Chunk] = []
        self._ended = False

    def __aiter__(self) -> _ScopedChunks:
        return self

    async def __anext__(self) -> Chunk:
        if not self._ready:
            if self._ended:
                raise StopAsyncIteration
            self._take(await self._chunks.__anext__())
        return self._ready.pop(0)

    def _take(self, chunk: Chunk) -> None:
        if chunk.channel != "answer" or chunk.markup or not (chunk.text or chunk.finish):
            self._ready.append(chunk)
            return
        text = self._held + chunk.text
        found = [(at, stop) for stop in self._stop if (at := text.find(stop)) >= 0]
        if found:
            at, stop = min(found)
            self._ended, self._held = True, ""
            self._ready.append(_cut(chunk, text[:at])._replace(finish=None))
            # The server is left here, so its own count of the reply never comes; what was read is the bill.
            self._ready.append(Chunk("", "answer", 0, finish="stop", matched_stop=stop))
            return
        keep = 0 if chunk.finish else max(_overlap(text, stop) for stop in self._stop)
        given, self._held = text[: len(text) - keep], text[len(text) - keep :]
        self._ready.append(chunk if given == chunk.text else _cut(chunk, given))


def _cut(chunk: Chunk, text: str) -> Chunk:
    """Return a chunk with other text: the ids no longer spell it."""
    return chunk._replace(text=text, token_ids=())


def _overlap(text: str, stop: str) -> int:
    return next((n for n in range(min(len(stop) - 1, len(text)), 0, -1) if text.endswith(stop[:n])), 0)
