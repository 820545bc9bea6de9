"""The chunks of one reply, read event by event from a server: no reply without an end, and none left half read."""

from __future__ import annotations

from collections import deque
from typing import Protocol

from ponder.core.engine import Chunk
from ponder.core.errors import EngineError
from ponder.engines.http import Client, EventStream, Json
from ponder.engines.reply import Reply


class Reader(Protocol):
    """Turns events into chunks; `finish` is not empty once the server has said that the reply is over.

    `complete` says that no event will follow, `parsed` that thinking came in a field of its own.
    """

    finish: str
    complete: bool
    parsed: bool

    def feed(self, event: Json) -> list[Chunk]:
        """Return the chunks that are known after one event."""
        ...

    def end(self) -> list[Chunk]:
        """Return what was held back and the last chunk."""
        ...


class Chunks:
    """The chunks of one reply. A plain iterator and not a generator: it holds nothing that waits to be cleaned up."""

    def __init__(self, client: Client, events: EventStream, reader: Reader, logprobs: bool) -> None:
        self._client, self._events, self._reader = client, events, reader
        self._ready: deque[Chunk] = deque()
        self._ended = False
        self._asked = logprobs
        self._bare = False

    def __aiter__(self) -> Chunks:
        return self

    async def __anext__(self) -> Chunk:
        while not self._ready:
            if self._ended:
                raise StopAsyncIteration
            await self._more()
        chunk = self._ready.popleft()
        if chunk.logprobs:
            self._asked = False
        elif self._asked and chunk.finish and self._bare:
            raise self._client.failure("was asked for log-probabilities and sent none; use a server that has them")
        self._bare = self._bare or bool(chunk.text)
        return chunk

    async def _more(self) -> None:
        events = await self._events.several()
        if events:
            try:
                self._read(events)
            except (KeyError, TypeError, AttributeError):
                raise self._client.failure("sent an event that is not of its own protocol", retry=True) from None
            if not self._reader.complete:
                return
        self._ended = True
        if not self._reader.finish:
            raise self._client.failure("ended the reply without a finish; it may have died", retry=True)
        try:
            self._ready.extend(self._reader.end())
        except EngineError as error:
            raise self._client.failure(str(error), retry=error.retry) from None
        await self._events.drain()

    def _read(self, events: list[Json]) -> None:
        """Read events that came together; what stands behind the end of a reply is no part of it."""
        reader = self._reader
        if isinstance(reader, Reply):
            self._ready.extend(reader.feed_all(events))
            return
        for event in events:
            self._ready.extend(reader.feed(event))
            if reader.complete:
                return
