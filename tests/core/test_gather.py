from __future__ import annotations

import asyncio

import pytest

from ponder.core.errors import EngineError
from ponder.core.gather import gather


async def after(turns: int, value: int) -> int:
    for _ in range(turns):
        await asyncio.sleep(0)
    return value


async def fail(turns: int, error: Exception) -> int:
    await after(turns, 0)
    raise error


async def test_results_keep_the_order_of_the_jobs_and_not_that_of_arrival() -> None:
    assert await gather(after(9 - i, i) for i in range(9)) == list(range(9))
    assert await gather([]) == []


async def test_the_first_error_comes_out_bare_with_its_own_type_and_text() -> None:
    with pytest.raises(EngineError, match=r"^gone$") as caught:
        await gather([after(5, 1), fail(2, EngineError("gone", retry=True))])
    assert caught.value.retry


async def test_siblings_of_a_job_that_raises_are_cancelled_and_have_ended() -> None:
    ended: list[str] = []

    async def wait() -> int:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            ended.append("cancelled")
        return 0

    with pytest.raises(EngineError):
        await gather([wait(), wait(), fail(1, EngineError("gone"))])
    assert ended == ["cancelled"] * 2


async def test_nested_groups_give_the_innermost_error() -> None:
    with pytest.raises(ValueError, match="deep"):
        await gather([gather([fail(1, ValueError("deep"))]), after(9, 1)])


async def test_cancelling_the_gatherer_cancels_every_job() -> None:
    task = asyncio.ensure_future(gather([after(10**6, 1), after(10**6, 2)]))
    await after(3, 0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(asyncio.all_tasks()) == 1
