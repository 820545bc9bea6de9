"""A recorded run as an engine: `Recorder` writes what a model said, `Replay` says it again without the model."""

from __future__ import annotations

import asyncio
import base64
import json
import time
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, cast

from ponder.core.engine import Cap, Chunk, Engine, Logprob, Sampling, Think, Usage, call_key
from ponder.core.errors import DataError, EngineError, TapeMiss
from ponder.core.problem import Prompt, ToolCall
from ponder.engines import tape_store as store

_EMPTY = Chunk("")


class Recorder:
    """Passes another engine's chunks on and writes them to a tape, a row for each call that ends, however it ends.

    A call that is left early is kept up to where it was read, one that fails with its error. The tape may exist if it
    records the same engine: then it grows. Raises `DataError` if it cannot be written or belongs to another engine.
    """

    def __init__(self, engine: Engine, path: Path | str, *, clock: Callable[[], float] = time.time) -> None:
        self._engine = engine
        self._path = Path(path)
        self._clock = clock
        self._db = store.connect(self._path, write=True)
        with store.explained(self._path):
            try:
                store.write_header(self._db, store.Header(engine.name, engine.caps, engine.think), self._path)
                (last,) = self._db.execute("SELECT coalesce(max(opened), 0) FROM calls").fetchone()
            except BaseException:
                self._db.close()
                raise
        self._opened = int(last)

    @property
    def name(self) -> str:
        """The recorded engine's name."""
        return self._engine.name

    @property
    def caps(self) -> frozenset[Cap]:
        """The recorded engine's abilities."""
        return self._engine.caps

    @property
    def think(self) -> Think:
        """The recorded engine's think marks."""
        return self._engine.think

    def close(self) -> None:
        """Make the tape one plain file. What was recorded is safe without this, too."""
        try:
            with store.explained(self._path):
                store.finish(self._db)
        finally:
            self._db.close()

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open a generation of the recorded engine."""
        self._opened += 1
        tee = _Tee(self._opened)
        try:
            async with AsyncExitStack() as stack:
                try:
                    tee.source = await stack.enter_async_context(self._engine.stream(prompt, sampling))
                except EngineError as error:
                    tee.fail(error)
                    raise
                yield tee
        finally:
            with store.explained(self._path):
                store.insert(self._db, prompt, sampling, tee.entry(call_key(prompt, sampling)), self._clock())


class _Tee:
    """Chunks on their way to the reader, and what to write about them."""

    def __init__(self, opened: int) -> None:
        self.source: AsyncIterator[Chunk] | None = None
        self._opened = opened
        self._rows: list[str] = []
        self._tokens = 0
        self._ending: store.Ending = "left"
        self._error: str | None = None

    def fail(self, error: EngineError) -> None:
        """Note that the engine broke off."""
        self._ending = "error"
        self._error = json.dumps([str(error), error.status, error.retry, error.retry_after])

    def __aiter__(self) -> _Tee:
        return self

    async def __anext__(self) -> Chunk:
        if self.source is None:
            raise StopAsyncIteration
        try:
            chunk = await self.source.__anext__()
        except StopAsyncIteration:
            self._ending = "finished"
            raise
        except EngineError as error:
            self.fail(error)
            raise
        self._rows.append(dump_chunk(chunk))
        self._tokens += chunk.tokens + chunk.latent
        if chunk.finish is not None:
            self._ending = "finished"
        return chunk

    def entry(self, key: str) -> store.Entry:
        """Return the row of this call."""
        reply = "[" + ",".join(self._rows) + "]"
        return store.Entry(self._opened, key, reply, self._ending, self._error, self._tokens)


class Replay:
    """Says what a tape holds: the same call gives the same chunks, errors included.

    The k-th time that a call is made, its k-th recording is played, in the order in which the recorded calls were
    begun. Raises `TapeMiss` for a call that the tape does not hold, or not so often, or not to this length: a repeated
    recording would pass for a fresh sample in a vote. To play a tape from its beginning, open it again.
    """

    def __init__(self, path: Path | str) -> None:
        self._path = Path(path)
        self._db = store.connect(self._path, write=False)
        with store.explained(self._path):
            header = store.read_header(self._db)
        if header is None:
            self._db.close()
            raise DataError(f"the tape {self._path} is empty: nothing was recorded; record the run again")
        self._header = header
        self._played: Counter[str] = Counter()

    @property
    def name(self) -> str:
        """The recorded engine's name."""
        return self._header.name

    @property
    def caps(self) -> frozenset[Cap]:
        """The recorded engine's abilities."""
        return self._header.caps

    @property
    def think(self) -> Think:
        """The recorded engine's think marks."""
        return self._header.think

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open one recorded reply."""
        key = call_key(prompt, sampling)
        repeat = self._played[key]
        self._played[key] += 1
        with store.explained(self._path):
            entry = store.find(self._db, key, repeat)
            if entry is None:
                why = store.nearest_difference(self._db, prompt, sampling)
                raise TapeMiss(f"the tape {self._path} does not hold this call: {why}; record the run again")
        played = self._play(entry)
        try:
            yield played
        finally:
            await played.aclose()

    async def _play(self, entry: store.Entry) -> AsyncGenerator[Chunk, None]:
        for row in json.loads(entry.reply):
            # Readers that run side by side take turns, as they did with the model.
            await asyncio.sleep(0)
            yield load_chunk(row)
        if entry.error is not None:
            message, status, retry, retry_after = json.loads(entry.error)
            raise EngineError(message, status=status, retry=retry, retry_after=retry_after)
        if entry.ending == "left":
            raise TapeMiss(
                f"the tape {self._path} holds only the first {entry.tokens} tokens of this reply, since its reader "
                f"left it there, and this run reads on; record the run again"
            )


def dump_chunk(chunk: Chunk) -> str:
    """Return a chunk as a compact JSON list: its fields in order, up to the last that differs from its default."""
    fields: list[object] = list(chunk)
    if chunk.hidden is not None:
        fields[5] = _dump_hidden(chunk.hidden)
    fields[4] = [token if token.certainty is not None else token[:3] for token in chunk.logprobs]
    fields[7] = [(call.id, call.name, call.arguments) for call in chunk.tool_calls]
    plain: list[object] = [*_EMPTY]
    plain[4] = plain[7] = []
    while len(fields) > 1 and fields[-1] == plain[len(fields) - 1]:
        fields.pop()
    return json.dumps(fields, separators=(",", ":"))


def load_chunk(row: list[object]) -> Chunk:
    """Return the chunk that `dump_chunk` wrote."""
    fields: list[Any] = [*row, *_EMPTY[len(row) :]]
    fields[3] = tuple(fields[3])
    fields[4] = tuple(
        Logprob(token, p, tuple((rival, q) for rival, q in top), *rest) for token, p, top, *rest in fields[4]
    )
    fields[5] = None if fields[5] is None else _load_hidden(*fields[5])
    fields[7] = tuple(ToolCall(*call) for call in fields[7])
    fields[10] = None if fields[10] is None else Usage(*fields[10])
    return Chunk(*fields)


def _dump_hidden(hidden: memoryview) -> tuple[str, tuple[int, ...], str]:
    if len(hidden.format) != 1:
        raise DataError(f"hidden states of type {hidden.format!r} cannot be recorded; ask the engine for float32")
    return hidden.format, tuple(hidden.shape or ()), base64.b64encode(hidden.tobytes()).decode()


def _load_hidden(format: str, shape: list[int], data: str) -> memoryview:
    raw = memoryview(base64.b64decode(data))
    return cast(memoryview, raw.cast(cast(Any, format), shape))
