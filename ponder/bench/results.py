"""From the file of a run to what people and programs read: rows, JSONL export, report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ponder.bench.prices import Price
from ponder.bench.store import Record, Store
from ponder.bench.summary import Arm, Attempt, Row, summarize
from ponder.core.config import Value
from ponder.core.errors import DataError, nearest

if TYPE_CHECKING:
    from ponder.bench.report import ReportData

SCHEMA = 1
"""Of the JSON that `bench`, `replay` and `compare` print; see `docs/json.md`."""


@dataclass(frozen=True, slots=True)
class RunInfo:
    """What a run's file says about itself."""

    folder: Path
    model: str
    weak: bool
    sampling: dict[str, Value]
    methods: dict[str, dict[str, Value]]
    """By label, each as its TOML table."""

    @classmethod
    def read(cls, store: Store) -> RunInfo:
        """Read it. Raises `DataError` if the run never began."""
        spec = store.meta("spec")
        if not isinstance(spec, dict):
            raise DataError(f"the run in {store.path.parent} never began; start it with `ponder bench`")
        if not isinstance(spec.get("model"), str) or not isinstance(spec.get("sampling"), dict):
            raise DataError(f"{store.path} does not say which model it is of; choose another folder with --out")
        methods = cast(dict[str, dict[str, Value]], store.meta("methods") or {})
        return cls(store.path.parent, spec["model"], bool(spec.get("weak")), spec["sampling"], methods)


def attempt_of(record: Record) -> Attempt:
    """Return the record as statistics take it."""
    return Attempt(
        question=record.key.question,
        seed=record.key.seed,
        correct=record.correct,
        tokens=record.tokens,
        by_role=record.by_role,
        prompt_tokens=record.prompt_tokens,
        cached_tokens=record.cached_tokens,
        truncated=record.truncated,
        seconds=record.seconds,
        first_token_seconds=record.first_token_seconds,
        exact=record.exact,
    )


def read_arms(store: Store, info: RunInfo, only: Sequence[str] | None = None) -> dict[str, dict[str, Arm]]:
    """Read the finished attempts, by task and method label, in the order in which the methods were named."""
    labels = list(only or info.methods)
    arms: dict[str, dict[str, Arm]] = {}
    for record in store.records():
        if record.key.method not in labels:
            continue
        by_method = arms.setdefault(record.key.task, {})
        arm = by_method.get(record.key.method)
        if arm is None:
            options = dict(info.methods[record.key.method])
            name = str(options.pop("method"))
            arm = by_method[record.key.method] = Arm(name, options, info.model, record.key.task)
        arm.add(attempt_of(record))
    return {task: {label: found[label] for label in labels if label in found} for task, found in arms.items()}


def pick_baseline(labels: Sequence[str], asked: str | None) -> str:
    """Return the label of the baseline: the one asked for, else `sample`, else the first."""
    if asked is not None:
        if asked not in labels:
            listed = ", ".join(labels)
            raise DataError(f"the baseline {asked!r} is not in this run{nearest(asked, labels)}; it has {listed}")
        return asked
    return next((label for label in labels if label.partition("(")[0] == "sample"), labels[0])


def rows_of(arms: dict[str, dict[str, Arm]], *, baseline: str | None, margin: float, price: Price | None) -> list[Row]:
    """Summarise every task by itself."""
    rows: list[Row] = []
    for by_method in arms.values():
        labels = list(by_method)
        ends = [_labelled(by_method, "sample"), _labelled(by_method, "no_thinking")]
        constants = (ends[0], ends[1]) if ends[0] and ends[1] else None
        base = pick_baseline(labels, baseline)
        rows += summarize(by_method, base, margin=margin, price=price, constants=constants)
    return rows


def _labelled(arms: Mapping[str, Arm], method: str) -> str | None:
    """Return the label of the first arm of a method, whatever its options."""
    return next((label for label, arm in arms.items() if arm.method == method), None)


def report_data(store: Store, info: RunInfo, rows: Sequence[Row], notes: Sequence[str] = ()) -> ReportData:
    """Collect what the report of a run shows: its rows, its lengths, and as many of its traces as a page holds."""
    from importlib.metadata import version

    from ponder.bench.plots import Lengths
    from ponder.bench.report import ReportData
    from ponder.bench.traces import choose, view

    arms = read_arms(store, info)
    attempts = sum(len(arm) for by_method in arms.values() for arm in by_method.values())
    return ReportData(
        model=info.model,
        rows=rows,
        lengths={
            task: [Lengths.of(label, arm) for label, arm in by_method.items()] for task, by_method in arms.items()
        },
        traces=[view(record) for record in choose(store.records(traces=True), attempts)],
        attempts=attempts,
        weak=info.weak,
        settings=info.sampling,
        folder=str(info.folder),
        notes=notes,
        version=version("ponder"),
    )


def export_jsonl(store: Store, path: Path) -> int:
    """Write every attempt as a line of JSON, traces included; return how many there are.

    Raises `DataError` where the folder cannot be written.
    """
    temporary = path.with_suffix(".tmp")
    try:
        count = _export(store, temporary)
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise DataError(
            f"the export {path} cannot be written ({error.strerror or error}); the results are kept: "
            f"make room, then run `ponder report {path.parent}`"
        ) from None
    return count


def _export(store: Store, path: Path) -> int:
    count = 0
    with path.open("w", encoding="utf-8") as file:
        for record in store.records(traces=True):
            line = {
                "task": record.key.task,
                "method": record.key.method,
                "seed": record.key.seed,
                "id": record.key.question,
                "correct": record.correct,
                "extracted": record.extracted,
                "finish": record.finish,
                "truncated": record.truncated,
                "tokens": record.tokens,
                "tokens_by_role": dict(record.by_role),
                "prompt_tokens": record.prompt_tokens,
                "cached_tokens": record.cached_tokens,
                "seconds": record.seconds,
                "first_token_seconds": record.first_token_seconds,
                "exact": record.exact,
                **json.loads(record.trace),
            }
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
            count += 1
    return count
