"""Concurrent branches of one method: all of them, or the first error with the rest cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import TypeVar

T = TypeVar("T")


async def gather(jobs: Iterable[Coroutine[None, None, T]]) -> list[T]:
    """Run `jobs` side by side and return their results in the order of `jobs`.

    The first job that raises cancels the others; once they have ended, its own error is raised, bare, and not a group.
    """
    tasks: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks.extend(group.create_task(job) for job in jobs)
    except BaseExceptionGroup as errors:
        raise _first(errors) from errors
    return [task.result() for task in tasks]


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    first = errors.exceptions[0]
    return _first(first) if isinstance(first, BaseExceptionGroup) else first
