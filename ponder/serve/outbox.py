"""What goes out on a stream: pieces gather while the model is ahead, and a slow reader holds the model back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal, NamedTuple

from ponder.core.engine import Cap, Chunk, Engine, Sampling, Think
from ponder.core.problem import Prompt

ROOM = 64 << 10
"""Characters that may wait for a reader before the model has to."""


Kind = Literal["think", "answer", "note"]


class Piece(NamedTuple):
    """Text of one choice and one kind."""

    choice: int
    kind: Kind
    text: str


class Outbox:
    """Holds pieces until the writer takes them all at once.

    Putting never waits: methods show text without awaiting. What bounds the memory is `room()`, which the engines of
    the request await before every chunk.
    """

    def __init__(self, room: int = ROOM) -> None:
        self._pieces: list[Piece] = []
        self._most = room
        self._size = 0
        self._ended = False
        self._reader: asyncio.Future[None] | None = None
        self._writers: list[asyncio.Future[None]] = []

    @property
    def full(self) -> bool:
        """Whether engines must wait."""
        return self._size > self._most

    @property
    def ended(self) -> bool:
        """Whether nothing more will come and everything was taken."""
        return self._ended and not self._pieces

    def put(self, choice: int, kind: Kind, text: str) -> None:
        """Add a piece."""
        self._pieces.append(Piece(choice, kind, text))
        self._size += len(text)
        reader = self._reader
        if reader is not None and not reader.done():
            reader.set_result(None)

    def end(self) -> None:
        """Say that nothing more will come."""
        self._ended = True
        self.wake()

    def wake(self) -> None:
        """Let the reader look."""
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def wait(self) -> None:
        """Wait until there is something to take, the end has come, or someone wakes the reader."""
        if self._pieces or self._ended:
            return
        self._reader = asyncio.get_running_loop().create_future()
        try:
            await self._reader
        finally:
            self._reader = None

    def take(self) -> list[Piece]:
        """Return everything that waits, neighbours of one choice and kind joined, and let the engines go on."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        for writer in self._writers:
            if not writer.done():
                writer.set_result(None)
        self._writers.clear()
        return _joined(pieces) if len(pieces) > 1 else pieces

    async def room(self) -> None:
        """Wait until the reader has taken what is here."""
        while self.full:
            writer = asyncio.get_running_loop().create_future()
            self._writers.append(writer)
            await writer


def _joined(pieces: list[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    texts: list[str] = []
    choice, kind = pieces[0].choice, pieces[0].kind
    for piece in pieces:
        if piece.choice != choice or piece.kind != kind:
            joined.append(Piece(choice, kind, _seam(kind).join(texts)))
            texts, choice, kind = [], piece.choice, piece.kind
        texts.append(piece.text)
    joined.append(Piece(choice, kind, _seam(kind).join(texts)))
    return joined


def _seam(kind: Kind) -> str:
    """Notes are lines, everything else is one text."""
    return "\n" if kind == "note" else ""


class Paced:
    """An engine whose streams wait for the reader of one request."""

    def __init__(self, engine: Engine, outbox: Outbox) -> None:
        self._engine, self._outbox = engine, outbox

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
        """Open a generation that is read no faster than the client reads."""
        async with self._engine.stream(prompt, sampling) as chunks:
            yield _PacedChunks(chunks, self._outbox)


class _PacedChunks:
    def __init__(self, chunks: AsyncIterator[Chunk], outbox: Outbox) -> None:
        self._chunks, self._outbox = chunks, outbox

    def __aiter__(self) -> _PacedChunks:
        return self

    async def __anext__(self) -> Chunk:
        if self._outbox.full:
            await self._outbox.room()
        return await self._chunks.__anext__()
