"""One thread owns the model, and never runs ahead: a stream is at most two tokens in front of its reader.

So leaving a stream wastes two tokens at most, and the event loop only ever hands chunks over.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ponder.core.engine import Chunk, Sampling, Think
from ponder.core.errors import EngineError, PonderError
from ponder.core.problem import Prompt
from ponder.engines.torch.adapter_files import read_adapter
from ponder.engines.torch.batch import Batch, Row
from ponder.engines.torch.load import Loaded, load
from ponder.engines.torch.render import Renderer

_AHEAD = 2


@dataclass(frozen=True, slots=True)
class Options:
    """How a model is opened. `threads` None leaves the number to torch; `kept` bounds the prefix tree, in tokens."""

    path: Path
    name: str
    dtype: str = "auto"
    threads: int | None = None
    slots: int = 16
    kept: int = 32768
    think: Think | None = None
    adapters: tuple[tuple[str, Path], ...] = ()


@dataclass(eq=False, slots=True)
class Job:
    """One stream as both threads see it; the counters are guarded by the worker's lock."""

    prompt: Prompt
    sampling: Sampling
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[Chunk | PonderError] = field(default_factory=asyncio.Queue)
    generated: int = 0
    read: int = 0
    sent: int = 0
    taken: int = 0
    waiting: bool = False
    left: bool = False

    @property
    def wanted(self) -> bool:
        """Whether one more token may be generated: the reader is close behind, or waits with nothing to read."""
        return self.generated - self.read < _AHEAD or (self.waiting and self.sent == self.taken)


class Worker:
    """The thread of one model. `ready` is done once the model is loaded, or holds the reason why it cannot be."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._loop = asyncio.get_running_loop()
        self.ready: asyncio.Future[tuple[Loaded, Renderer]] = self._loop.create_future()
        self._lock = threading.Condition()
        self._inbox: deque[Job] = deque()
        self._jobs: dict[Row, Job] = {}
        self._batch: Batch | None = None
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"ponder {options.name}", daemon=True)
        self._thread.start()

    @property
    def generated(self) -> int:
        """Tokens drawn since the model was opened, over all streams."""
        return self._batch.generated if self._batch else 0

    @property
    def positions(self) -> int:
        """Positions that went through the model since it was opened: prompts read and tokens decoded."""
        return self._batch.positions if self._batch else 0

    def open(self, prompt: Prompt, sampling: Sampling) -> Job:
        """Start a stream; it waits its turn if all slots are taken."""
        job = Job(prompt, sampling, asyncio.get_running_loop())
        with self._lock:
            if self._closed:
                raise EngineError(f"{self._options.name} is closed; use it inside `async with`")
            self._inbox.append(job)
            self._lock.notify()
        return job

    async def next(self, job: Job) -> Chunk:
        """Return the next chunk of a stream. Raises `PonderError` where it failed."""
        if job.queue.empty():
            with self._lock:
                job.waiting = True
                self._lock.notify()
        item = await job.queue.get()
        with self._lock:
            job.waiting = False
            job.taken += 1
            job.read += item.tokens if isinstance(item, Chunk) else 0
            self._lock.notify()
        if isinstance(item, PonderError):
            raise item
        return item

    def leave(self, job: Job) -> None:
        """End a stream, wherever it stands."""
        with self._lock:
            job.left = True
            self._lock.notify()

    def close(self) -> None:
        """Let the thread end after the step that it is in; streams that are open fail."""
        with self._lock:
            self._closed = True
            self._lock.notify()

    async def join(self) -> None:
        """Wait for the thread's end without blocking the loop."""
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        try:
            if self._options.threads:
                torch.set_num_threads(self._options.threads)
            loaded = load(self._options.path, self._options.dtype)
            renderer = loaded.renderer(str(self._options.path), self._options.think)
            loras = {name: read_adapter(folder, loaded.model) for name, folder in self._options.adapters}
            self._batch = Batch(loaded, renderer, self._options.name, self._options.kept, loras)
        except Exception as error:  # the task's boundary: whoever waits for the model is told
            self._tell(self.ready, self._as_ponder(error))
            return
        self._tell(self.ready, (loaded, renderer))
        try:
            with torch.inference_mode():
                while self._rest():
                    self._step(self._batch)
        finally:
            self._abandon()

    def _rest(self) -> bool:
        """Wait until there is something to do; return False when the worker is closed."""
        with self._lock:
            self._lock.wait_for(self._has_work)
            return not self._closed

    def _has_work(self) -> bool:
        if self._closed or (self._inbox and len(self._jobs) < self._options.slots):
            return True
        return any(job.left or row.reading or job.wanted for row, job in self._jobs.items())

    def _step(self, batch: Batch) -> None:
        """Let go who has left, take in who waits, read one piece of one prompt, decode one token of each stream."""
        with self._lock:
            gone = [row for row, job in self._jobs.items() if job.left]
        for row in gone:
            del self._jobs[row]
            batch.remove(row)
        self._admit(batch)
        reading = next((row for row in self._jobs if row.reading), None)
        if reading is not None:
            self._attempt(batch, [reading])
        with self._lock:
            ready = [row for row, job in self._jobs.items() if not row.reading and job.wanted and not job.left]
        if ready:
            self._attempt(batch, sorted(ready, key=lambda row: row.slot))

    def _admit(self, batch: Batch) -> None:
        while len(self._jobs) < self._options.slots:
            with self._lock:
                if not self._inbox:
                    return
                job = self._inbox.popleft()
            if job.left:
                continue
            try:
                self._jobs[batch.add(job.prompt, job.sampling)] = job
            except Exception as error:  # the task's boundary: the stream is told
                self._send(job, [self._as_ponder(error)])

    def _attempt(self, batch: Batch, rows: Sequence[Row]) -> None:
        """Read on in one prompt, or decode; a failure ends the streams that took part in it, and no others."""
        reading = rows[0].reading
        try:
            parts = [batch.read(rows[0])] if reading else batch.decode(rows)
        except Exception as error:  # the task's boundary: the streams are told
            for row in rows:
                self._send(self._jobs.pop(row), [self._as_ponder(error)])
                batch.drop(row)
            return
        for row, chunks in zip(rows, parts, strict=True):
            job = self._jobs[row]
            if chunks and chunks[-1].finish is not None:
                del self._jobs[row]
                batch.remove(row)
            self._send(job, chunks, tokens=0 if reading else 1)

    def _send(self, job: Job, items: Sequence[Chunk | PonderError], tokens: int = 0) -> None:
        with self._lock:
            job.generated += tokens
            job.sent += len(items)
        if items:
            self._call(job.loop, job.queue, items)

    def _call(
        self,
        loop: asyncio.AbstractEventLoop,
        queue: asyncio.Queue[Chunk | PonderError],
        items: Sequence[Chunk | PonderError],
    ) -> None:
        def put() -> None:
            for item in items:
                queue.put_nowait(item)

        try:
            loop.call_soon_threadsafe(put)
        except RuntimeError:  # the loop is closed: nobody will ever read this
            self.close()

    def _tell(
        self, ready: asyncio.Future[tuple[Loaded, Renderer]], outcome: tuple[Loaded, Renderer] | PonderError
    ) -> None:
        def settle() -> None:
            if ready.done():
                return
            if isinstance(outcome, PonderError):
                ready.set_exception(outcome)
            else:
                ready.set_result(outcome)

        try:
            self._loop.call_soon_threadsafe(settle)
        except RuntimeError:
            self.close()

    def _abandon(self) -> None:
        """Tell the streams that are still open that the model is gone."""
        with self._lock:
            self._closed = True
            jobs = [*self._jobs.values(), *self._inbox]
            self._inbox.clear()
        self._jobs.clear()
        for job in jobs:
            if not job.left:
                self._send(job, [EngineError(f"{self._options.name} was closed while it replied")])

    def _as_ponder(self, error: Exception) -> PonderError:
        """Return the error as one that a user can act on."""
        if isinstance(error, PonderError):
            return error
        text = " ".join(str(error).split())[:300]
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
            return EngineError(
                f"{self._options.name}: memory ran out; lower slots, max_tokens or the number of kept tokens, or take "
                "a smaller dtype"
            )
        return EngineError(f"{self._options.name}: the model failed ({type(error).__name__}: {text})")
