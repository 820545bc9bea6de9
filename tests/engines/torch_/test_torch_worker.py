"""The thread: who may go on, who waits, and that nobody is forgotten when things break."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from pathlib import Path

import pytest
from tiny_llama import ask

from ponder.core.engine import Chunk, Sampling
from ponder.core.errors import DataError, EngineError, OutOfMemory

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.engines.torch import worker as worker_module  # noqa: E402
from ponder.engines.torch.worker import Job, Options, Worker  # noqa: E402

GREEDY = Sampling(max_tokens=6, temperature=0, logit_bias=((1, -1e9),))


async def opened(folder: Path, slots: int = 16) -> Worker:
    worker = Worker(Options(folder, "tiny", "float32", threads=1, slots=slots))
    await worker.ready
    return worker


async def close(worker: Worker) -> None:
    worker.close()
    await worker.join()


async def test_a_stream_may_be_two_tokens_ahead_and_further_only_if_it_is_waited_for() -> None:
    job = Job(ask("x"), GREEDY, asyncio.get_running_loop())
    assert job.wanted
    job.generated = 2
    assert not job.wanted
    job.waiting = True
    assert job.wanted
    job.sent = 1
    assert not job.wanted
    job.taken = 1
    assert job.wanted
    job.waiting, job.read = False, 1
    assert job.wanted


async def test_the_reason_why_a_model_cannot_be_loaded_is_handed_over(tmp_path: Path) -> None:
    worker = Worker(Options(tmp_path, "tiny"))
    with pytest.raises(DataError, match=r"holds no config\.json"):
        await worker.ready
    await worker.join()


async def test_any_other_failure_of_loading_is_told_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "load", lambda path, dtype: 1 // 0)
    worker = Worker(Options(folder, "tiny"))
    with pytest.raises(EngineError, match="ZeroDivisionError"):
        await worker.ready
    await worker.join()


async def test_running_out_of_memory_says_what_to_lower(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: worker_module.Batch, rows: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    worker = await opened(folder)
    monkeypatch.setattr(worker_module.Batch, "decode", full)
    with pytest.raises(OutOfMemory, match="memory ran out; lower slots"):
        await worker.next(worker.open(ask("x"), GREEDY))
    await close(worker)


async def test_memory_that_the_system_refuses_says_so_too(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The processor's own allocator has an error without a class of its own."""
    worker = await opened(folder)
    monkeypatch.setattr(worker_module.Batch, "decode", lambda self, rows: torch.empty(1 << 55, dtype=torch.uint8))
    with pytest.raises(OutOfMemory, match="memory ran out; lower slots, max_tokens or the number of kept tokens"):
        await worker.next(worker.open(ask("x"), GREEDY))
    await close(worker)


async def test_a_step_takes_all_readers_along_who_only_wait_for_their_turn(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    decode = worker_module.Batch.decode

    def counted(self: worker_module.Batch, rows: Sequence[worker_module.Row]) -> list[list[Chunk]]:
        sizes.append(len(rows))
        return decode(self, rows)

    async def read(job: Job) -> None:
        while (await worker.next(job)).finish is None:
            pass

    monkeypatch.setattr(worker_module.Batch, "decode", counted)
    monkeypatch.setattr(worker_module, "_PATIENCE", 60)
    worker = await opened(folder)
    long = Sampling(max_tokens=30, temperature=0, logit_bias=((1, -1e9),))
    await asyncio.gather(*(read(worker.open(ask("x"), long)) for _ in range(8)))
    await close(worker)
    assert sum(sizes) == 240
    assert sizes.count(8) >= 24


async def test_a_loop_that_stands_still_holds_up_nobody(folder: Path) -> None:
    worker = await opened(folder)
    other = asyncio.new_event_loop()

    async def start() -> Job:
        job = worker.open(ask("y"), Sampling(max_tokens=1000, logit_bias=((1, -1e9),)))
        await worker.next(job)
        return job

    stuck = await asyncio.to_thread(other.run_until_complete, start())
    job = worker.open(ask("x"), GREEDY)
    tokens = 0
    while (chunk := await worker.next(job)).finish is None:
        tokens += chunk.tokens
    assert tokens + chunk.tokens == 6
    assert stuck.generated - stuck.read <= 2
    worker.leave(stuck)
    await close(worker)
    other.close()


async def test_a_stream_left_before_its_turn_never_starts(folder: Path) -> None:
    worker = await opened(folder, slots=1)
    first, second = worker.open(ask("first"), GREEDY), worker.open(ask("second"), GREEDY)
    worker.leave(second)
    tokens = 0
    while (chunk := await worker.next(first)).finish is None:
        tokens += chunk.tokens
    third = worker.open(ask("third"), GREEDY)
    await worker.next(third)
    worker.leave(third)
    await close(worker)
    assert second.generated == 0
    assert second.queue.empty()
    assert tokens + chunk.tokens == 6


async def test_leaving_twice_or_after_the_end_does_no_harm(folder: Path) -> None:
    worker = await opened(folder)
    job = worker.open(ask("x"), GREEDY)
    while (await worker.next(job)).finish is None:
        pass
    worker.leave(job)
    worker.leave(job)
    again = worker.open(ask("x"), GREEDY)
    assert (await worker.next(again)).tokens >= 1
    await close(worker)


async def test_the_thread_ends_with_the_worker_and_the_counts_stay(folder: Path) -> None:
    worker = await opened(folder)
    job = worker.open(ask("x"), GREEDY)
    while (await worker.next(job)).finish is None:
        pass
    await close(worker)
    assert not worker._thread.is_alive()
    assert worker.generated == 6
    assert worker.positions > 6
    with pytest.raises(EngineError, match="tiny is closed"):
        worker.open(ask("x"), GREEDY)


async def test_streams_that_wait_are_told_when_the_worker_closes(folder: Path) -> None:
    worker = await opened(folder, slots=1)
    jobs = [worker.open(ask(f"job {n}"), Sampling(max_tokens=1000, logit_bias=((1, -1e9),))) for n in range(3)]
    await worker.next(jobs[0])
    await close(worker)
    for job in jobs[1:]:
        with pytest.raises(EngineError, match="was closed while it replied"):
            await worker.next(job)


def test_a_loop_that_is_gone_ends_the_worker(folder: Path) -> None:
    """A program that never left the `async with` block: the thread must not go on for ever."""

    async def abandon() -> Worker:
        worker = await opened(folder)
        worker.open(ask("x"), GREEDY)
        return worker

    worker = asyncio.run(abandon())
    worker._thread.join(30)
    if worker._thread.is_alive():
        # It sent its two tokens before the loop closed, and waits for a reader that will never come.
        assert worker._thread.daemon
        worker.close()
        worker._thread.join(30)
    assert not worker._thread.is_alive()


async def test_closing_during_loading_ends_the_thread(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    entered, go = threading.Event(), threading.Event()
    load = worker_module.load

    def slow(path: Path, dtype: str) -> worker_module.Loaded:
        entered.set()
        assert go.wait(60)
        return load(path, dtype)

    monkeypatch.setattr(worker_module, "load", slow)
    worker = Worker(Options(folder, "tiny", "float32", threads=1))
    await asyncio.to_thread(entered.wait)
    worker.close()
    go.set()
    await worker.join()
    assert not worker._thread.is_alive()
