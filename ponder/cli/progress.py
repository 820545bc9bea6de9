"""The progress of a run: done, tokens per second, time left, accuracy so far."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from ponder.bench.store import Record
from ponder.cli.output import console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

REFRESH = 0.1
"""Seconds between updates: a fast engine finishes thousands of questions in one second."""


class BenchProgress:
    """A bar on a terminal; a line now and then where standard error is a file. Never on standard output."""

    def __init__(self, total: int, *, quiet: bool = False) -> None:
        self._total, self._quiet = total, quiet
        self._done = self._tokens = self._kept = 0
        self._right: dict[str, list[int]] = {}
        self._started = self._drawn = time.monotonic()
        self._console = console(stderr=True)
        self._bar: Progress | None = None
        self._task: TaskID | None = None

    def __enter__(self) -> BenchProgress:
        if not self._quiet and self._console.is_terminal:
            self._bar = self._make_bar()
            self._task = self._bar.add_task("", total=self._total, rate="", accuracy="")
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._draw()
            self._bar.stop()

    def done(self, record: Record | None, kept: bool) -> None:
        """Take note of one attempt: its record, or None for one that failed or was there already."""
        self._done += 1
        self._kept += kept
        if record is not None:
            self._tokens += record.tokens
            if record.correct is not None:
                right = self._right.setdefault(record.key.method, [0, 0])
                right[0] += record.correct
                right[1] += 1
        now = time.monotonic()
        if now - self._drawn >= (REFRESH if self._bar else 30):
            self._drawn = now
            self._draw()

    def _draw(self) -> None:
        passed = max(time.monotonic() - self._started, 1e-9)
        rate = f"{self._tokens / passed:,.0f} tok/s"
        accuracy = "  ".join(f"{name} {100 * right / n:.0f} %" for name, (right, n) in list(self._right.items())[:4])
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, rate=rate, accuracy=accuracy)
        elif not self._quiet:
            fresh = self._done - self._kept
            left = max(0, self._total - self._done) * passed / fresh if fresh else 0.0
            self._console.print(f"{self._done}/{self._total}  {rate}  {left:,.0f} s left  {accuracy}")

    def _make_bar(self) -> Progress:
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        return Progress(
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[accuracy]}"),
            console=self._console,
            refresh_per_second=8,
        )
