"""What `ponder calibrate` reads: the scored answers of one method of a run, and how another one did on the same."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from math import inf
from pathlib import Path
from typing import NamedTuple

from ponder.bench.results import RunInfo
from ponder.bench.session import folders
from ponder.bench.store import Record, Store
from ponder.core.errors import DataError, nearest
from ponder.steer.transfer import Answered

Key = tuple[str, str, int]
"""Task, question and seed."""


class Found(NamedTuple):
    """The answers, and what the calibration says of where they come from."""

    answered: Answered
    names: dict[str, str]


def read_scores(run: Path, weak: str, strong: str | None) -> Found:
    """Return the scored answers of `weak`, with the verdicts on `strong` where one is named: METHOD, or RUN#METHOD.

    Questions without a verdict on each are left out. Raises `DataError` for a method that is not in the run, that gives
    no scores, or that sent questions on: what answered those was not the weak way.
    """
    scored: dict[Key, tuple[float, int]] = {}
    marks: dict[Key, int] = {}
    with _records(run, weak) as (info, label, records):
        names = {"model": info.model, "weak": label}
        for record in records:
            if (score := _score(record, run)) is not None:
                scored[_key(record)] = (score, int(record.correct is True))
    if not any(score > -inf for score, _ in scored.values()):
        raise DataError(f"{label} gave no scores in {run}; confident_or_seek_stronger:threshold=-inf does, for one")
    if strong is not None:
        folder, sign, method = strong.rpartition("#")
        with _records(Path(folder) if sign else run, method) as (info, label, records):
            names |= {"strong": label, **({"strong_model": info.model} if sign else {})}
            marks = {_key(record): int(record.correct is True) for record in records}
    keys = [key for key in scored if strong is None or key in marks]
    if not keys:
        raise DataError(f"{run}: no question has a verdict for both methods; run them on the same questions")
    scores, rights = (tuple(scored[key][0] for key in keys), tuple(scored[key][1] for key in keys))
    others = () if strong is None else tuple(marks[key] for key in keys)
    return Found(Answered(tuple(task for task, _, _ in keys), scores, rights, others), names)


@contextmanager
def _records(run: Path, asked: str) -> Iterator[tuple[RunInfo, str, Iterator[Record]]]:
    """Open a run, find a method in it, and give its attempts that were judged."""
    with Store(folders([run])[0], write=False) as store:
        info = RunInfo.read(store)
        label = _label(info.methods, asked, run)
        records = store.records(traces=True)
        yield info, label, (one for one in records if one.key.method == label and one.correct is not None)


def _key(record: Record) -> Key:
    return record.key.task, record.key.question, record.key.seed


def _score(record: Record, run: Path) -> float | None:
    """Return the score of an answer: minus infinity where there was none to give, None where the scorer failed."""
    evidence = json.loads(record.trace)["solution"]["evidence"]
    if str(evidence.get("route", "rung 1")).partition(" on ")[0] != "rung 1":
        raise DataError(
            f"{record.key.method} sent question {record.key.question} on in {run}, so that its answers are not all "
            "the weak one's; run it with threshold=-inf"
        )
    return None if "unscored" in evidence else float(evidence.get("score", -inf))


def _label(methods: Collection[str], asked: str, run: Path) -> str:
    """Return the label of a method; a part of it will do, such as an option, where no other label has it."""
    if asked in methods:
        return asked
    fits = [label for label in methods if asked in label]
    if len(fits) != 1:
        why = f"has several methods with {asked!r}" if fits else f"has no method {asked!r}{nearest(asked, methods)}"
        raise DataError(f"{run} {why}; it has {', '.join(methods)}")
    return fits[0]


def tasks_of(answered: Answered, apart: Collection[str]) -> list[str]:
    """Return the tasks that a calibration is of. Raises `DataError` for one to keep apart that is not there."""
    tasks = list(dict.fromkeys(answered.tasks))
    for name in apart:
        if name not in tasks:
            raise DataError(f"there is no task {name!r} in the run{nearest(name, tasks)}; it has {', '.join(tasks)}")
    return [task for task in tasks if task not in apart]
