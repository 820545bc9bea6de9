"""Judge replies without holding up the event loop: cheap verifiers on the spot, the others in processes of our own.

The deadline is kept from outside, by ending the process: timeouts that a library keeps by itself use signals, which do
nothing in threads, and no signal stops a long computation in C.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from contextlib import suppress
from types import TracebackType
from typing import cast

from ponder.core.errors import PonderError
from ponder.core.judge import Reference, Verdict, Verifier
from ponder.verify.base import Base
from ponder.verify.worker import Reply, pack


class VerifierPool:
    """Judges in at most `workers` processes, started when they are first needed.

    A judgement that takes longer than `deadline` seconds, loading apart, is a `Verdict(None)` and counted in
    `timeouts`; one that breaks the verifier, or kills two workers, is a `Verdict(None)` and counted in `failures`.
    """

    def __init__(self, workers: int = 1, deadline: float = 10.0, loading: float = 120.0) -> None:
        if workers < 1:
            raise PonderError(f"a pool of verifiers needs at least one worker, not {workers}")
        self.timeouts = 0
        self.failures = 0
        self.restarts = 0
        self.last_failure: str | None = None
        self._deadline, self._loading = deadline, loading
        self._workers = [_Worker() for _ in range(workers)]
        self._idle: asyncio.LifoQueue[_Worker] = asyncio.LifoQueue()

    async def __aenter__(self) -> VerifierPool:
        """Open the pool; no process runs yet."""
        for worker in self._workers:
            self._idle.put_nowait(worker)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End every process."""
        for worker in self._workers:
            await worker.end()

    async def judge(self, verifier: Verifier, answer: str, reference: Reference | None) -> Verdict:
        """Judge one reply. Raises `PonderError` for a verifier that no other process can load."""
        if reference is None:
            return Verdict(None, verifier.extract(answer))
        if isinstance(verifier, Base):
            verdict = verifier.quick(answer, reference)
            if verdict is not None:
                return verdict
        request = _pickled(verifier, answer, reference)
        worker = await self._idle.get()
        try:
            return await self._ask(worker, request) or await self._ask(worker, request) or self._failed("it died twice")
        finally:
            self._idle.put_nowait(worker)

    async def _ask(self, worker: _Worker, request: bytes) -> Verdict | None:
        """Return the verdict, or None if the process died; a process that did not answer is gone afterwards."""
        settled = False
        try:
            kind, value = await worker.load(request, self._loading)
            if kind == "ready":
                kind, value = await worker.receive(self._deadline)
            settled = True
        except TimeoutError:
            self.timeouts += 1
            return Verdict(None)
        except (asyncio.IncompleteReadError, ConnectionError):
            self.restarts += 1
            return None
        finally:
            if not settled:
                await worker.end()
        if isinstance(value, Verdict):
            return value
        if kind == "broken":
            raise PonderError(f"the verifier cannot be loaded in a process of its own ({value}); put it in a module")
        return self._failed(value)

    def _failed(self, why: str) -> Verdict:
        self.failures += 1
        self.last_failure = why
        return Verdict(None)


class _Worker:
    """A place for one process: it is started when asked and can be ended at any moment."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._starting: asyncio.Future[Process] | None = None

    async def load(self, request: bytes, seconds: float) -> Reply:
        """Send a request, to a new process if there is none, and return its first reply."""
        if self._process is None:
            # Cancelling a start would lose a process that is half there: `end` waits for it.
            self._starting = self._starting or asyncio.ensure_future(_start())
            self._process = await asyncio.shield(self._starting)
            self._starting = None
        pipe = self._process.stdin
        assert pipe is not None
        pipe.write(request)
        await pipe.drain()
        return await self.receive(seconds)

    async def receive(self, seconds: float) -> Reply:
        """Return the next reply. Raises `TimeoutError`, or `IncompleteReadError` if the process died."""
        assert self._process is not None
        source = self._process.stdout
        assert source is not None
        async with asyncio.timeout(seconds):
            size = await source.readexactly(4)
            return cast(Reply, pickle.loads(await source.readexactly(int.from_bytes(size, "big"))))

    async def end(self) -> None:
        """End the process and take its exit code, so that nothing is left behind."""
        starting, self._starting = self._starting, None
        if starting is not None:
            self._process = await starting
        process, self._process = self._process, None
        if process is None:
            return
        if process.returncode is None:
            with suppress(ProcessLookupError):
                process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.wait()


async def _start() -> Process:
    """Start a process that finds the same modules as this one, and nothing of the current folder."""
    path = os.pathsep.join(entry or os.getcwd() for entry in sys.path)
    command = (sys.executable, "-P", "-m", "ponder.verify.worker")
    environment = {**os.environ, "PYTHONPATH": path, "PYTHONWARNINGS": "ignore"}
    return await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE, stderr=DEVNULL, env=environment)


def _pickled(verifier: Verifier, answer: str, reference: Reference) -> bytes:
    try:
        return pack((verifier, answer, reference))
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        name = type(verifier).__name__
        raise PonderError(
            f"{name} cannot be sent to another process ({error}); make it a frozen dataclass in a module"
        ) from None
