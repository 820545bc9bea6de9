"""Recorded replies that take turns: one token each, as a server would write them side by side."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from ponder.core.engine import Cap, Chunk, Engine, Sampling, Think
from ponder.core.problem import Prompt


class Turns:
    """An engine whose open replies give way to each other after every chunk, so that a race between them is fair."""

    def __init__(self, inner: Engine) -> None:
        self._inner = inner

    @property
    def name(self) -> str:
        """The inner engine's name."""
        return self._inner.name

    @property
    def caps(self) -> frozenset[Cap]:
        """What the inner engine can do."""
        return self._inner.caps

    @property
    def think(self) -> Think:
        """The inner engine's marks."""
        return self._inner.think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open a reply of the inner engine."""
        async with self._inner.stream(prompt, sampling) as chunks:
            turns = _in_turns(chunks)
            try:
                yield turns
            finally:
                await turns.aclose()


async def _in_turns(chunks: AsyncIterator[Chunk]) -> AsyncGenerator[Chunk, None]:
    async for chunk in chunks:
        await asyncio.sleep(0)
        yield chunk
