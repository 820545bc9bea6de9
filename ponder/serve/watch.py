"""Puts the observers together: what counts for `/metrics`, what logs, what traces, in one worker or in several."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import TextIO

from ponder.serve.log import RequestLog
from ponder.serve.observe import Observer, Observers

SHARED = "PROMETHEUS_MULTIPROC_DIR"
"""The variable by which Prometheus' client is told the folder in which several processes add up their counts."""


@contextmanager
def watched(out: TextIO | None = None, environ: Mapping[str, str] | None = None) -> Iterator[Observers]:
    """Give the observers of one process: a log on `out` (standard error), and traces where the environment wants them.

    Leaving the block sends the traces that are left. Raises `OptionError` where traces are wanted and not installed.
    """
    from ponder.serve.spans import open_spans, spans_wanted

    log = RequestLog(out or sys.stderr)
    if not spans_wanted(os.environ if environ is None else environ):
        yield Observers([log])
        return
    spans = open_spans()
    told: list[Observer] = [log, spans]
    try:
        yield Observers(told)
    finally:
        spans.close()


@contextmanager
def shared_counts() -> Iterator[None]:
    """Let the processes that are started inside this block add up their counts."""
    with TemporaryDirectory(prefix="ponder-counts-") as folder:
        before = os.environ.get(SHARED)
        os.environ[SHARED] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[SHARED]
            else:
                os.environ[SHARED] = before


def forget_worker(pid: int | None) -> None:
    """Take what a process that has died was doing out of the counts; what it had done stays."""
    if pid is not None and SHARED in os.environ:
        from prometheus_client.multiprocess import mark_process_dead

        mark_process_dead(pid)  # type: ignore[no-untyped-call]
