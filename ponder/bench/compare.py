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
    """Return the rows of all runs, each compared with the baseline of the first, task by task.

    Labels get their run's number where a method stands in several runs. Raises `DataError` where the runs share no
    task, or where a run answered no question of the baseline's.
    """
    arms: dict[str, dict[str, Arm]] = {}
    bases: dict[str, str] = {}
    for number, path in enumerate(folders(paths), 1):
        with Store(path, write=False) as store:
            for task, found in read_arms(store, RunInfo.read(store)).items():
                if number == 1:
                    bases[task] = pick_baseline(list(found), baseline)
                target = arms.setdefault(task, {})
                for label, arm in found.items():
                    target[label if label not in target else f"{label} #{number}"] = arm
    shared = {task: found for task, found in arms.items() if task in bases}
    rows: list[Row] = []
    for task, found in shared.items():
        rows += summarize(found, bases[task], margin=margin, price=price, constants=None)
    if not rows or (len(paths) > 1 and all(len(found) == 1 for found in shared.values())):
        raise DataError("these runs share no task; compare runs of the same benchmark")
    return rows
