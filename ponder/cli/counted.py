"""A bar for work of known length: done, of how many, time left; on a terminal only, and on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from ponder.cli.output import console


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """Yield what to call with (done, of how many)."""
    where = console(stderr=True)
    if not where.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=where) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
