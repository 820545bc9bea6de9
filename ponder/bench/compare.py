"""Several runs as arms of one comparison, paired by question."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ponder.bench.prices import Price
from ponder.bench.results import RunInfo, pick_baseline, read_arms
from ponder.bench.session import folders
from ponder.bench.store import Store
from ponder.bench.summary import Arm, Row, summarize
from ponder.core.errors import DataError


def compare_runs(
    paths: Sequence[Path], *, baseline: str | None, margin: float, price: Price | None = None
) -> list[Row]:
    """Return the rows of all runs, each compared with the baseline of the first, task by task."""
    arms, bases = arms_of(paths, baseline)
    rows: list[Row] = []
    for task, found in arms.items():
        rows += summarize(found, bases[task], margin=margin, price=price, constants=None)
    return rows


def arms_of(paths: Sequence[Path], baseline: str | None) -> tuple[dict[str, dict[str, Arm]], dict[str, str]]:
    """Return the arms of all runs, by the tasks of the first, and the label of each task's baseline.

    Labels get their run's number where a method stands in several runs. Raises `DataError` where a run shares no task
    with the first one.
    """
    arms: dict[str, dict[str, Arm]] = {}
    bases: dict[str, str] = {}
    for number, path in enumerate(folders(paths), 1):
        with Store(path, write=False) as store:
            read = read_arms(store, RunInfo.read(store))
        if number == 1:
            bases = {task: pick_baseline(list(found), baseline) for task, found in read.items()}
        shared = {task: found for task, found in read.items() if task in bases}
        if not shared:
            raise DataError(_nothing_shared(paths, number, list(read)))
        for task, found in shared.items():
            target = arms.setdefault(task, {})
            for label, arm in found.items():
                target[label if label not in target else f"{label} #{number}"] = arm
    return arms, bases


def _nothing_shared(paths: Sequence[Path], number: int, tasks: Sequence[str]) -> str:
    path = paths[number - 1]
    if not tasks:
        return f"the run {path} has no finished attempt; go on with it, or leave it out"
    return f"{path} shares no task with {paths[0]}, it has {', '.join(tasks)}; compare runs of the same benchmark"
