"""As many branches side by side as the model's memory holds: where it runs out, fewer at once, and none is lost."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import TypeVar

from ponder.core.errors import OutOfMemory
from ponder.core.gather import gather
from ponder.core.run import Run

T = TypeVar("T")


class Room:
    """How many branches of one search go side by side, once that is known to be less than all of them."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._most: int | None = None

    async def gather(self, jobs: Sequence[Callable[[], Coroutine[None, None, T]]]) -> list[T]:
        """Run the jobs side by side and return their results in order.

        Where memory runs out, those that were under way begin again, half as many at once from then on; what they had
        generated is billed. Raises `OutOfMemory` where it does not hold one alone, and the first error of any other
        kind, with the rest cancelled.
        """
        done: list[T] = []
        while len(done) < len(jobs):
            batch = jobs[len(done) : len(done) + (self._most or len(jobs))]
            try:
                done += await gather(job() for job in batch)
            except OutOfMemory:
                if len(batch) == 1:
                    raise
                self._most = (len(batch) + 1) // 2
                self._run.note(f"memory ran out with {len(batch)} branches at once: from here on {self._most}")
        return done

    @property
    def evidence(self) -> dict[str, float | str]:
        """How many went side by side at most, where memory was the limit."""
        return {} if self._most is None else {"at_once": self._most}
