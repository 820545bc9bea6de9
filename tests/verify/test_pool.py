from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ponder.core.errors import PonderError
from ponder.core.judge import Reference, Verdict
from ponder.verify import Base, Math, Number, VerifierPool
from ponder.verify.pool import _Worker


@pytest.fixture
def verifiers(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    monkeypatch.syspath_prepend(str(Path(__file__).parent))
    import slow_verifiers

    yield slow_verifiers
    sys.modules.pop("slow_verifiers", None)


@pytest.fixture
def script(verifiers: object, tmp_path: Path) -> Base:
    from slow_verifiers import Script

    return Script(str(tmp_path))


RIGHT = Reference("ok")


async def test_cheap_verifiers_run_on_the_spot_and_start_no_process() -> None:
    async with VerifierPool() as pool:
        assert await pool.judge(Number(), "\\boxed{18}", Reference("18")) == Verdict(True, "18")
        assert await pool.judge(Math(), "\\boxed{18}", Reference("18")) == Verdict(True, "18")
        assert all(worker._process is None for worker in pool._workers)


async def test_no_reference_is_no_verdict() -> None:
    async with VerifierPool() as pool:
        assert await pool.judge(Number(), "\\boxed{18}", None) == Verdict(None, "18")


async def test_algebra_runs_in_another_process() -> None:
    async with VerifierPool() as pool:
        assert await pool.judge(Math(), "\\boxed{x^2+2x+1}", Reference("(x+1)^2")) == Verdict(True, "x^2+2x+1")
        assert await pool.judge(Math(), "\\boxed{x^2+2x}", Reference("(x+1)^2")) == Verdict(False, "x^2+2x")
        assert (pool.timeouts, pool.failures, pool.restarts) == (0, 0, 0)


async def test_a_deadline_ends_the_process_and_the_next_question_gets_a_new_one(script: Base) -> None:
    async with VerifierPool(deadline=2.0) as pool:
        before = await pool.judge(script, "ok", RIGHT)
        assert await pool.judge(script, "hang", RIGHT) == Verdict(None)
        after = await pool.judge(script, "ok", RIGHT)
        assert before.correct
        assert after.correct
        assert before.extracted != after.extracted
        assert pool.timeouts == 1
        assert before.extracted is not None
        with pytest.raises(ProcessLookupError):
            os.kill(int(before.extracted), 0)


async def test_the_deadline_stops_algebra_that_would_not_end() -> None:
    async with VerifierPool(deadline=1.0) as pool:
        assert await pool.judge(Math(), "\\boxed{9^{9^{9^{9}}} + x}", Reference("(x+1)^2")) == Verdict(None)
        assert pool.timeouts + pool.failures == 1


async def test_the_event_loop_goes_on_while_a_verifier_hangs(script: Base) -> None:
    async with VerifierPool(deadline=1.0) as pool:
        beats = 0
        judging = asyncio.create_task(pool.judge(script, "hang", RIGHT))
        while not judging.done():
            await asyncio.sleep(0.01)
            beats += 1
        assert judging.result() == Verdict(None)
        assert beats > 10


async def test_a_process_killed_between_questions_is_replaced(script: Base) -> None:
    async with VerifierPool() as pool:
        first = await pool.judge(script, "ok", RIGHT)
        assert first.extracted is not None
        os.kill(int(first.extracted), signal.SIGKILL)
        second = await pool.judge(script, "ok", RIGHT)
        assert second.correct
        assert second.extracted != first.extracted
        assert pool.restarts == 1


async def test_a_process_that_dies_while_judging_gets_a_second_try(script: Base) -> None:
    async with VerifierPool() as pool:
        assert (await pool.judge(script, "die once", Reference("die once"))).correct
        assert (pool.restarts, pool.failures) == (1, 0)
        assert await pool.judge(script, "die", RIGHT) == Verdict(None)
        assert (pool.restarts, pool.failures) == (3, 1)
        assert pool.last_failure == "it died twice"


async def test_an_error_is_counted_and_the_process_stays(script: Base) -> None:
    async with VerifierPool() as pool:
        before = await pool.judge(script, "ok", RIGHT)
        assert await pool.judge(script, "raise", RIGHT) == Verdict(None)
        assert pool.last_failure == "ZeroDivisionError: on purpose"
        assert await pool.judge(script, "flood", RIGHT) == Verdict(None)
        assert (pool.failures, pool.timeouts) == (2, 0)
        assert (await pool.judge(script, "ok", RIGHT)).extracted == before.extracted


async def test_what_a_verifier_prints_does_no_harm(script: Base) -> None:
    async with VerifierPool() as pool:
        assert (await pool.judge(script, "print", Reference("print"))).correct


async def test_workers_share_the_work(script: Base) -> None:
    async with VerifierPool(workers=2) as pool:
        verdicts = await asyncio.gather(*(pool.judge(script, "ok", RIGHT) for _ in range(12)))
        assert all(verdict.correct for verdict in verdicts)
        assert len({verdict.extracted for verdict in verdicts}) == 2


async def test_a_cancelled_judgement_leaves_the_pool_whole(script: Base) -> None:
    async with VerifierPool() as pool:
        judging = asyncio.create_task(pool.judge(script, "hang", RIGHT))
        await asyncio.sleep(0.3)
        judging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await judging
        assert (await pool.judge(script, "ok", RIGHT)).correct


async def test_leaving_the_pool_ends_its_processes(script: Base) -> None:
    async with VerifierPool() as pool:
        verdict = await pool.judge(script, "ok", RIGHT)
    assert verdict.extracted is not None
    with pytest.raises(ProcessLookupError):
        os.kill(int(verdict.extracted), 0)


async def test_a_verifier_with_the_bare_contract_runs_apart(verifiers: object) -> None:
    from slow_verifiers import Plain

    async with VerifierPool() as pool:
        verdict = await pool.judge(Plain(), "ok", RIGHT)
        assert verdict.correct
        assert verdict.extracted != str(os.getpid())


async def test_a_verifier_that_cannot_be_loaded_or_sent_is_an_error(verifiers: object) -> None:
    from slow_verifiers import Unloadable

    @dataclass(frozen=True)
    class Local(Unloadable):
        pass

    async with VerifierPool() as pool:
        with pytest.raises(PonderError, match=r"cannot be loaded .*nothing to load"):
            await pool.judge(Unloadable(), "ok", RIGHT)
        with pytest.raises(PonderError, match=r"Local cannot be sent to another process"):
            await pool.judge(Local(), "ok", RIGHT)


def test_a_pool_needs_a_worker() -> None:
    with pytest.raises(PonderError, match=r"at least one worker"):
        VerifierPool(workers=0)


async def test_a_process_that_is_left_while_it_starts_is_ended() -> None:
    worker = _Worker()
    loading = asyncio.ensure_future(worker.load(b"", 60))
    await asyncio.sleep(0)
    starting = worker._starting
    assert starting is not None
    loading.cancel()
    await worker.end()
    assert starting.result().returncode is not None
