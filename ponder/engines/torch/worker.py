"""One thread owns the model, and never runs ahead: a stream is at most two tokens in front of its reader.

So leaving a stream wastes two tokens at most, and the event loop only ever hands chunks over.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from ponder.core.engine import Chunk, Sampling, Think
from ponder.core.errors import EngineError, OutOfMemory, PonderError
from ponder.core.problem import Prompt
from ponder.engines.torch.adapter_files import read_adapter
from ponder.engines.torch.batch import Batch, Row
from ponder.engines.torch.load import Loaded, load
from ponder.engines.torch.render import Renderer

_AHEAD = 2
_PATIENCE = 0.05
"""How long, in seconds, the thread waits for an event loop to hand out what it was sent."""


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


_Act = Callable[[Sequence[Row]], list[list[Chunk]]]
_Letter = tuple[Job, int, Sequence[Chunk | PonderError]]


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
        self._unsettled = 0
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
                self._wake()
        item = await job.queue.get()
        with self._lock:
            job.waiting = False
            job.taken += 1
            job.read += item.tokens if isinstance(item, Chunk) else 0
            self._wake()
        if isinstance(item, PonderError):
            raise item
        return item

    def _wake(self) -> None:
        """Let the thread look again, unless it is going to anyway when the loop has handed all out."""
        if not self._unsettled:
            self._lock.notify()

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
            while not self._has_work():
                if not self._lock.wait(_PATIENCE if self._unsettled else None):
                    self._unsettled = 0
            return not self._closed

    def _has_work(self) -> bool:
        if self._closed or (self._inbox and (len(self._jobs) < self._options.slots or self._stuck)):
            return True
        if any(job.left or row.reading for row, job in self._jobs.items()):
            return True
        wanted = [job.wanted for job in self._jobs.values()]
        # Those who have not read yet may only not have had their turn: all of them in one step cost hardly more.
        return any(wanted) and (all(wanted) or not self._unsettled)

    @property
    def _stuck(self) -> bool:
        """Whether every stream that has a slot waits for its reader, while others wait for a slot.

        Readers may wait for one another: a method that reads streams side by side would wait for ever for the one that
        has no slot. So a stream that rests keeps no other one out.
        """
        return not (self._unsettled or any(job.wanted or row.reading for row, job in self._jobs.items()))

    def _step(self, batch: Batch) -> None:
        """Let go who has left, take in who waits, read a piece of some prompts, decode one token of each stream."""
        with self._lock:
            gone = [row for row, job in self._jobs.items() if job.left]
        for row in gone:
            del self._jobs[row]
            batch.remove(row)
        self._admit(batch)
        for row in batch.due(self._reading()):
            self._attempt(batch, batch.recall, [row])
        reading = [row for row in self._reading() if row.cached is not None]
        if reading:
            self._attempt(batch, batch.read, batch.pick(reading))
        with self._lock:
            ready = [row for row, job in self._jobs.items() if not row.reading and job.wanted and not job.left]
        if ready:
            self._attempt(batch, batch.decode, sorted(ready, key=lambda row: row.slot))

    def _reading(self) -> list[Row]:
        return [row for row in self._jobs if row.reading]

    def _admit(self, batch: Batch) -> None:
        while True:
            with self._lock:
                if not self._inbox or not (len(self._jobs) < self._options.slots or self._stuck):
                    return
                job = self._inbox.popleft()
            if job.left:
                continue
            try:
                self._jobs[batch.add(job.prompt, job.sampling)] = job
            except Exception as error:  # the task's boundary: the stream is told
                self._send([(job, 0, [self._as_ponder(error)])])

    def _attempt(self, batch: Batch, act: _Act, rows: Sequence[Row]) -> None:
        """Read on in some prompts, or decode; a failure ends the streams that took part in it, and no others."""
        try:
            parts = act(rows)
        except Exception as error:  # the task's boundary: the streams are told
            self._send([(self._jobs.pop(row), row.generated, [self._as_ponder(error)]) for row in rows])
            for row in rows:
                batch.drop(row)
            return
        mail = [(self._jobs[row], row.generated, chunks) for row, chunks in zip(rows, parts, strict=True)]
        for row, chunks in zip(rows, parts, strict=True):
            if chunks and chunks[-1].finish is not None:
                del self._jobs[row]
                batch.remove(row)
        self._send(mail)

    def _send(self, mail: Sequence[_Letter]) -> None:
        """Hand over what is new: to each stream how many tokens it has by now, and items; each loop is called once."""
        by_loop: dict[asyncio.AbstractEventLoop, list[_Letter]] = {}
        with self._lock:
            for job, generated, items in mail:
                job.generated = generated
                job.sent += len(items)
                if items:
                    by_loop.setdefault(job.loop, []).append((job, generated, items))
            self._unsettled += len(by_loop)
        for loop, letters in by_loop.items():
            self._call(loop, letters)

    def _call(self, loop: asyncio.AbstractEventLoop, letters: Sequence[_Letter]) -> None:
        def put() -> None:
            for job, _, items in letters:
                for item in items:
                    job.queue.put_nowait(item)
            # The readers that were woken just now run before this does.
            loop.call_soon(self._settle)

        try:
            loop.call_soon_threadsafe(put)
        except RuntimeError:  # the loop is closed: nobody will ever read this
            self.close()

    def _settle(self) -> None:
        """Note that all who were waiting for what was sent have read it."""
        with self._lock:
            self._unsettled = max(0, self._unsettled - 1)
            self._wake()

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
        broken = EngineError(f"{self._options.name} was closed while it replied")
        self._send([(job, job.generated, [broken]) for job in jobs if not job.left])

    def _as_ponder(self, error: Exception) -> PonderError:
        """Return the error as one that a user can act on."""
        if isinstance(error, PonderError):
            return error
        text = " ".join(str(error).split())[:300]
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or "can't allocate memory" in text:
            return OutOfMemory(
                f"{self._options.name}: memory ran out; lower slots, max_tokens or the number of kept tokens, or take "
                "a smaller dtype"
            )
        return EngineError(f"{self._options.name}: the model failed ({type(error).__name__}: {text})")
