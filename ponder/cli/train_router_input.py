"""What `ponder train router` learns from: a table of outcomes, one of preferences, or runs of `ponder bench`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ponder.bench.results import RunInfo
from ponder.bench.store import Store
from ponder.core.errors import DataError, OptionError, nearest
from ponder.train.routers.read import PREFERENCES, outcomes, preferences, read_rows
from ponder.train.routers.table import Table

RUN = "run.sqlite"


def read_choices(given: tuple[str, ...]) -> dict[str, str]:
    """Return name to column, model or method, in the order given. Raises `OptionError`."""
    found: dict[str, str] = {}
    for text in given:
        name, sign, target = text.partition("=")
        if not (name and sign and target):
            raise OptionError(f"--choice {text!r} must be NAME=COLUMN, as in weak=mixtral, the cheapest first")
        if name in found or target in found.values():
            raise OptionError(f"--choice {text!r}: the name or its column was given before; give each once")
        found[name] = target
    if len(found) < 2:
        raise OptionError("a router needs two choices at least: --choice weak=COLUMN --choice strong=COLUMN")
    return found


def read_table(source: Path, choices: Mapping[str, str], prompt: str | None, group: str | None) -> Table:
    """Return what there is to learn from. Raises `DataError` that names the file, the row and the column."""
    if source.is_dir():
        return read_runs(source, choices)
    rows = read_rows(source)
    if all(column in rows[0] for column in PREFERENCES):
        return preferences(rows, choices, str(source), prompt=prompt or "prompt", group=group)
    asked = "prompt" if "prompt" in rows[0] or group is None else None
    return outcomes(rows, choices, str(source), prompt=prompt or asked, group=group)


def read_runs(folder: Path, choices: Mapping[str, str]) -> Table:
    """Return the outcomes of methods of a run, or of several: NAME=METHOD, or NAME=FOLDER#METHOD for another run.

    A question counts with its mean over seeds; those that not every choice has a verdict on are left out.
    """
    columns = []
    texts: dict[str, str] = {}
    for target in choices.values():
        other, sign, method = target.rpartition("#")
        columns.append(_arm(Path(other) if sign else folder, method, texts))
    shared = [key for key in columns[0] if all(key in column for column in columns)]
    if not shared:
        raise DataError(f"{folder}: no question has a verdict for every choice; run the methods on the same questions")
    success = np.array([[float(np.mean(column[key])) for column in columns] for key in shared])
    return Table(tuple(choices), tuple(texts[key] for key in shared), success=success)


def _arm(folder: Path, method: str, texts: dict[str, str]) -> dict[str, list[bool]]:
    """Return the verdicts of a method by question, and add what was asked to `texts`."""
    found: dict[str, list[bool]] = {}
    with Store(folder / RUN, write=False) as store:
        known = RunInfo.read(store).methods
        if method not in known:
            raise DataError(f"{folder} has no method {method!r}{nearest(method, known)}; it has {', '.join(known)}")
        for record in store.records(traces=True):
            if record.key.method == method and record.correct is not None:
                key = f"{record.key.task}/{record.key.question}"
                found.setdefault(key, []).append(record.correct)
                texts[key] = str(json.loads(record.trace)["question"])
    return found
