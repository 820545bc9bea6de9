"""Which of llama.cpp's slots holds which tokens, so that a fork copies its prefix instead of reading it again.

Every call is pinned to a slot of our choice: the one that already holds most of its prompt, read with the same
adapters. Calls that arrive together and share a trunk get copies of it, saved and restored through files in memory.
The server's own cache is not used: it guesses, and forgets a copy when it is used once.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from operator import itemgetter
from typing import NamedTuple

from ponder.core.errors import EngineError
from ponder.engines.llama_server import LlamaServer

_BURST_SECONDS = 0.003
_WORTH_A_COPY = 64
_NEARLY = 16
_COPIES_KEPT = 4


Scales = tuple[float, ...]
"""The scale of each adapter that is loaded."""


class _State(NamedTuple):
    """Tokens, and the adapters with which they were read. No scales: a slot that no call has used yet."""

    ids: Sequence[int] = ()
    scales: Scales | None = None


@dataclass(slots=True, eq=False)
class _Copy:
    """The saved state of a slot; `users` are calls that still mean to restore it."""

    state: _State
    file: str
    saved: asyncio.Task[bool]
    users: int = 0


@dataclass(slots=True, eq=False)
class Seat:
    """Where a call runs: `shared` tokens of its prompt should not be read again there.

    The call notes how many it has `read`, those at hand included, and what it has `generated`.
    """

    ids: Sequence[int]
    scales: Scales = ()
    slot: int = -1
    shared: int = 0
    copy: _Copy | None = None
    wait_for: _Copy | None = None
    ready: bool = False
    read: int = 0
    generated: Sequence[int] = ()
    server: int = 0


def common_prefix(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two sequences share from their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


def _shared(seat: Seat, state: _State) -> int:
    return common_prefix(seat.ids, state.ids) if seat.scales == state.scales else 0


class Slots:
    """Hands out the slots of one server. `reread` counts prompt tokens that were read although a slot held them."""

    def __init__(self, server: LlamaServer, count: int) -> None:
        self._server = server
        self._turns = asyncio.Semaphore(count)
        self._held = [_State()] * count
        self._idle = list(range(count))
        self._waiting: list[Seat] = []
        self._copies: list[_Copy] = []
        self._number = self._restarts = 0
        self.reread = 0

    def forget(self) -> None:
        """Note that the server has been started anew and holds nothing."""
        self._held = [_State()] * len(self._held)
        self._copies.clear()
        self._restarts += 1

    @asynccontextmanager
    async def seat(self, ids: Sequence[int], scales: Scales = ()) -> AsyncIterator[Seat]:
        """Wait for a turn and yield a seat for a prompt that is read with adapters at these scales."""
        # A call that waits inside the server cannot be left at once, so all waiting is done here.
        async with self._turns:
            seat = Seat(ids, scales, server=self._restarts)
            self._waiting.append(seat)
            try:
                await asyncio.sleep(_BURST_SECONDS)  # Forks of one trunk come together.
                if seat.slot < 0:
                    self._plan()
                await self._prepare(seat)
                yield seat
            finally:
                self._leave(seat)

    def _leave(self, seat: Seat) -> None:
        if seat.slot < 0:
            self._waiting.remove(seat)
            return
        if seat.copy:
            seat.copy.users -= 1
        if seat.server != self._restarts or (seat.copy and not seat.ready):
            self._held[seat.slot] = _State()
        elif not seat.ready:
            pass  # Left before the server was asked: the slot holds what it held.
        elif seat.read < len(seat.ids):  # Left before the prompt was read.
            self._held[seat.slot] = _State(seat.ids[: max(seat.read, seat.shared)], self._scales_after(seat))
        else:
            self._held[seat.slot] = _State((*seat.ids, *seat.generated), seat.scales)
        self._idle.append(seat.slot)

    def _scales_after(self, seat: Seat) -> Scales | None:
        """Return the scales of a slot whose call was left early: unknown where they may not have been set yet."""
        return seat.scales if seat.read or seat.copy or self._held[seat.slot].scales == seat.scales else None

    def _plan(self) -> None:
        """Give each waiting call a slot: sources of long prefixes first, then the ones that were idle longest."""
        waiting, self._waiting = self._waiting, []
        groups: dict[int, list[Seat]] = {}
        rest: list[Seat] = []
        for seat in waiting:
            seat.shared, slot = max((_shared(seat, self._held[slot]), slot) for slot in self._idle)
            found, kept = max(
                ((_shared(seat, copy.state), copy) for copy in self._copies), key=itemgetter(0), default=(0, None)
            )
            if kept and found >= max(_WORTH_A_COPY, seat.shared + _NEARLY):
                seat.shared, seat.copy = found, kept
                kept.users += 1
            elif seat.shared >= _WORTH_A_COPY:
                groups.setdefault(slot, []).append(seat)
                continue
            rest.append(seat)
        for slot, seats in groups.items():
            rest += self._share(slot, seats)
        for seat in rest:
            self._take(seat, self._idle[0])

    def _share(self, slot: int, seats: list[Seat]) -> list[Seat]:
        """Give the slot to the call that continues it furthest; return the others, who are to copy it."""
        first, *others = sorted(seats, key=lambda seat: -seat.shared)
        self._take(first, slot)
        if others:
            copy = self._save(slot)
            first.wait_for, copy.users = copy, len(others)
            for seat in others:
                seat.copy = copy
        return others

    def _take(self, seat: Seat, slot: int) -> None:
        seat.slot = slot
        self._idle.remove(slot)
        if seat.copy is None:
            seat.shared = _shared(seat, self._held[slot])

    def _save(self, slot: int) -> _Copy:
        self._number += 1
        file = f"{self._number}.bin"
        copy = _Copy(self._held[slot], file, asyncio.create_task(self._saved(slot, file)))
        # One that could not be saved, for want of room, is no source for later calls.
        self._copies = [old for old in self._copies if not old.saved.done() or old.saved.result()]
        self._copies.append(copy)
        for old in self._copies[:-_COPIES_KEPT]:
            if not old.users:
                self._copies.remove(old)
                self._server.forget_slot_file(old.file)
        return copy

    async def _saved(self, slot: int, file: str) -> bool:
        try:
            await self._server.slot_action(slot, "save", file)
        except EngineError:  # No room: the prefix is read again, and `reread` says so.
            return False
        return True

    async def _prepare(self, seat: Seat) -> None:
        """Bring the prefix to the call's slot, or wait until others have copied what stands there."""
        if seat.wait_for:
            await asyncio.shield(seat.wait_for.saved)
        if seat.copy is not None:
            saved: bool = await asyncio.shield(seat.copy.saved)
            if saved:
                with suppress(EngineError):
                    if seat.scales and seat.scales != self._held[seat.slot].scales:
                        # Else the call sets them, and the server then drops what was restored.
                        await self._server.set_adapters(seat.slot, seat.scales)
                    await self._server.slot_action(seat.slot, "restore", seat.copy.file)
        seat.ready = True

    def note_progress(self, seat: Seat, read: int, cached: int) -> None:
        """Note how far the prompt is read. The server should have had all but the last token that was held at hand."""
        if not seat.read:
            self.reread += max(0, seat.shared - 1 - cached)
        seat.read = max(read, cached, 1)
