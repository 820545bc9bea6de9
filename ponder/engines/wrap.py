"""Engines around engines: a limit on calls in flight, retries, adapters, a cache. Each is an engine like the inner."""

from __future__ import annotations

import asyncio
import json
import random
import sqlite3
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from ponder.core.engine import Cap, Chunk, Engine, Sampling, Think, call_key
from ponder.core.errors import DataError, EngineError, require
from ponder.core.problem import Prompt
from ponder.engines.tape import dump_chunk, load_chunk

_APPLICATION = 0x506E4361
"""SQLite's application id of a cache: the letters `PnCa`."""


class _Wrapper:
    """What every wrapper takes over: the inner engine's name, abilities and think marks, so that results agree."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @property
    def name(self) -> str:
        """The inner engine's name."""
        return self._engine.name

    @property
    def caps(self) -> frozenset[Cap]:
        """The inner engine's abilities."""
        return self._engine.caps

    @property
    def think(self) -> Think:
        """The inner engine's think marks."""
        return self._engine.think


def innermost(engine: Engine) -> Engine:
    """Return the engine that does the work, without the wrappers around it."""
    while isinstance(engine, _Wrapper):
        engine = engine._engine
    return engine


class Limit(_Wrapper):
    """Lets at most `n` calls be in flight; the others wait in the order in which they came.

    Put it inside `Retry`: a call that waits before another try then holds no place.
    """

    def __init__(self, engine: Engine, n: int) -> None:
        super().__init__(engine)
        require(n >= 1, self, "n", n, "at least 1")
        self._places = asyncio.Semaphore(n)

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open a generation once there is a place."""
        async with self._places, self._engine.stream(prompt, sampling) as chunks:
            yield chunks


class Adapted(_Wrapper):
    """Applies adapters to every call that names none itself; a call that wants none names one with scale 0.

    `adapters` are (name, scale) pairs of the inner engine. The name says which, as results and tapes must: `name`, or
    by default the inner engine's with `+adapter@scale` behind it.
    """

    def __init__(self, engine: Engine, adapters: Sequence[tuple[str, float]], *, name: str | None = None) -> None:
        super().__init__(engine)
        self._adapters = tuple(adapters)
        self._name = name

    @property
    def name(self) -> str:
        """The name given, or the inner engine's and the adapters'."""
        return self._name or self._engine.name + adapter_suffix(self._adapters)

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open a generation with the call's own adapters, or with these."""
        adapted = sampling if sampling.adapters else replace(sampling, adapters=self._adapters)
        async with self._engine.stream(prompt, adapted) as chunks:
            yield chunks


def adapter_suffix(adapters: Sequence[tuple[str, float]]) -> str:
    """Return `+valve@0.5` for an adapter, and `+valve` at scale 1."""
    return "".join(f"+{name}" if scale == 1 else f"+{name}@{scale:g}" for name, scale in adapters)


class Retry(_Wrapper):
    """Repeats calls that failed before their first chunk, where the error says that this may help.

    The wait doubles from `base` seconds up to `cap`, less up to half of it by a jitter that depends on the call alone:
    equal runs wait equally long. A server's Retry-After is kept, and one beyond `cap` ends the tries: the caller
    should know. A reply that breaks off later is never repeated, for its tokens were read and billed.
    """

    def __init__(self, engine: Engine, attempts: int = 4, base: float = 0.5, cap: float = 30.0) -> None:
        super().__init__(engine)
        require(attempts >= 1, self, "attempts", attempts, "at least 1")
        require(0 <= base <= cap, self, "base", base, "in 0 to cap")
        self._attempts, self._base, self._cap = attempts, base, cap

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open a generation and wait for its first chunk. Raises the last error."""
        async with AsyncExitStack() as stack:
            yield await self._open(stack, prompt, sampling)

    async def _open(self, stack: AsyncExitStack, prompt: Prompt, sampling: Sampling) -> AsyncIterator[Chunk]:
        jitter: random.Random | None = None
        for attempt in range(1, self._attempts + 1):
            try:
                async with AsyncExitStack() as trial:
                    chunks = await trial.enter_async_context(self._engine.stream(prompt, sampling))
                    first = await anext(chunks, None)
                    stack.push_async_exit(trial.pop_all())
                    return _Rest(first, chunks)
            except EngineError as error:
                # Only a failure pays for the key: most calls never fail.
                jitter = jitter or random.Random(call_key(prompt, sampling))
                wait = min(self._cap, self._base * 2 ** (attempt - 1)) * (0.5 + jitter.random() / 2)
                wait = max(wait, error.retry_after or 0.0)
                if not error.retry or attempt == self._attempts or wait > self._cap:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError("unreachable")


class _Rest:
    """A stream whose first chunk was read already."""

    def __init__(self, first: Chunk | None, chunks: AsyncIterator[Chunk]) -> None:
        self._first, self._chunks = first, chunks

    def __aiter__(self) -> _Rest:
        return self

    async def __anext__(self) -> Chunk:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return await anext(self._chunks)


class Cache(_Wrapper):
    """Keeps whole replies in one SQLite file and gives them again to equal calls of an engine of the same name.

    Greedy calls are kept whatever their seed; with `sampled`, calls with a seed are kept too, each under its own.
    Replies that were left, or broke off, are not kept. A hit is billed as it was recorded: a cache saves time and
    money, and a comparison of methods must not depend on what happened to be in it. `hits` and `misses` tell.
    Raises `DataError` for a file that is no cache or cannot be written.
    """

    def __init__(self, engine: Engine, path: Path | str, *, sampled: bool = False) -> None:
        super().__init__(engine)
        self._path, self._sampled = Path(path), sampled
        self.hits = self.misses = 0
        with self._explained():
            self._db = sqlite3.connect(self._path, isolation_level=None, timeout=5.0)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Give a kept reply again, or open a generation of the inner engine."""
        key = self._key(prompt, sampling)
        kept = self._find(key) if key else None
        if kept is not None:
            self.hits += 1
            yield _Kept(kept)
            return
        self.misses += 1
        async with self._engine.stream(prompt, sampling) as chunks:
            tee = _Tee(chunks)
            yield tee
        if key and tee.whole:
            self._keep(key, tee.rows)

    def _key(self, prompt: Prompt, sampling: Sampling) -> str | None:
        if sampling.temperature == 0:
            sampling = replace(sampling, seed=None, branch_seed=None)
        elif not self._sampled or sampling.seed is None:
            return None
        return f"{self.name}/{call_key(prompt, sampling)}"

    def _prepare(self) -> None:
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if application != _APPLICATION and (tables or application):
            raise DataError(f"{self._path} is an SQLite file but not a cache; give a path that does not exist")
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        self._db.execute(f"PRAGMA application_id = {_APPLICATION}")
        self._db.execute("CREATE TABLE IF NOT EXISTS replies (key TEXT PRIMARY KEY, reply BLOB NOT NULL) WITHOUT ROWID")

    def _find(self, key: str) -> list[Chunk] | None:
        with self._explained():
            row = self._db.execute("SELECT reply FROM replies WHERE key = ?", (key,)).fetchone()
        return None if row is None else [load_chunk(json.loads(line)) for line in zlib.decompress(row[0]).splitlines()]

    def _keep(self, key: str, rows: list[str]) -> None:
        # The first of two equal calls stays: what was given once is given again.
        with self._explained():
            reply = zlib.compress("\n".join(rows).encode(), 1)
            self._db.execute("INSERT OR IGNORE INTO replies VALUES (?, ?)", (key, reply))

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            raise DataError(
                f"the cache {self._path} cannot be used ({error}); give another path or make room"
            ) from None


class _Kept:
    """The chunks of a kept reply; gives way to other tasks before each, as a model would."""

    def __init__(self, chunks: list[Chunk]) -> None:
        self._chunks = iter(chunks)

    def __aiter__(self) -> _Kept:
        return self

    async def __anext__(self) -> Chunk:
        await asyncio.sleep(0)
        for chunk in self._chunks:
            return chunk
        raise StopAsyncIteration


class _Tee:
    """Passes chunks on and notes them; `whole` once the last one was read."""

    def __init__(self, chunks: AsyncIterator[Chunk]) -> None:
        self._chunks = chunks
        self.rows: list[str] = []
        self.whole = False

    def __aiter__(self) -> _Tee:
        return self

    async def __anext__(self) -> Chunk:
        chunk = await anext(self._chunks)
        self.rows.append(dump_chunk(chunk))
        self.whole = chunk.finish is not None
        return chunk
