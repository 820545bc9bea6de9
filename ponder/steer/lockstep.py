"""Replies that are read side by side, a token of each at a time, until it is decided which one is read to its end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from ponder.core.engine import Chunk
from ponder.core.run import Live


@dataclass(slots=True)
class Lane:
    """One reply so far: `tokens` are its ids, or their texts where the engine has no ids; `ended` that it is over."""

    live: Live | None = None
    tokens: list[Hashable] = field(default_factory=list)
    ended: bool = False

    def take(self, chunk: Chunk) -> None:
        """Note the tokens of a chunk."""
        if len(chunk.token_ids) == chunk.tokens:
            self.tokens.extend(chunk.token_ids)
        elif chunk.tokens:
            self.tokens.extend([chunk.text] * chunk.tokens)


Decide = Callable[[list[Lane], int], int | None]
"""Is told the lanes and a length that each has reached, or has ended before; returns the winner, or None to go on."""


class Lockstep:
    """`n` lanes. Each reader takes what it reads to `arrive`, and goes on reading when that returns.

    `decide` is asked once for each length, in order, when every lane is so far: what it sees depends on no clock.
    """

    def __init__(self, n: int, decide: Decide) -> None:
        self.lanes = [Lane() for _ in range(n)]
        self.winner: int | None = None
        self._decide = decide
        self._length = 1
        self._gate = asyncio.Event()

    async def arrive(self, index: int, chunk: Chunk) -> None:
        """Take a chunk of a lane, and wait until the others are as far."""
        lane = self.lanes[index]
        lane.take(chunk)
        lane.ended = chunk.finish is not None
        self._advance()
        while self.winner is None and len(lane.tokens) >= self._length and not lane.ended:
            await self._gate.wait()

    def end(self, index: int) -> None:
        """Note that a lane is over."""
        self.lanes[index].ended = True
        self._advance()

    def _advance(self) -> None:
        moved = False
        while self.winner is None and all(lane.ended or len(lane.tokens) >= self._length for lane in self.lanes):
            self.winner = self._decide(self.lanes, self._length)
            self._length += 1
            moved = True
        if moved:
            self._gate.set()
            self._gate = asyncio.Event()
