"""The end of a run: its table, the saving in words, the export and the report."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from ponder.bench.complexity import Complexity
from ponder.bench.prices import Price
from ponder.bench.results import SCHEMA, RunInfo, export_jsonl, read_arms, report_data, rows_of
from ponder.bench.runner import Outcome
from ponder.bench.session import folders
from ponder.bench.store import Store
from ponder.bench.summary import Row
from ponder.cli.complexity import complexities, complexity_json, tell_complexities
from ponder.cli.output import console, interval, percent, print_json, results_table
from ponder.core.errors import PonderError


def finish_run(
    store: Store,
    info: RunInfo,
    outcome: Outcome | None,
    *,
    only: Sequence[str] | None,
    tasks: Sequence[str] | None,
    baseline: str | None,
    margin: float,
    price: Price | None,
    beside: Sequence[Path],
    kind: str | None = None,
    report: bool,
    as_json: bool,
) -> None:
    """Print what came out and write `attempts.jsonl`, `report.html` and the plots into the run's folder."""
    kept = read_arms(store, info, only)
    arms = kept if tasks is None else {task: kept[task] for task in tasks if task in kept}
    rows = rows_of(arms, baseline=baseline, margin=margin, price=price)
    rows = _with_efficiency(store, rows)
    others = [row for path in folders(beside) for row in _rows_beside(path, list(arms), margin, price)]
    found = complexities(kind, arms)
    export_jsonl(store, info.folder / "attempts.jsonl")
    page = _write_report(store, info, outcome, [*rows, *others], found) if report and rows else None
    if as_json:
        print_json({**run_json(info, outcome, [*rows, *others], refused(store)), **complexity_json(found)})
        _tell_failures(store, outcome, stderr=True)
        return
    out = console()
    if rows:
        for task in dict.fromkeys(row.task for row in rows):
            shown = [row for row in [*rows, *others] if row.task == task]
            out.print(results_table(shown, f"{task} · {info.model}"))
            out.print()
        for row in rows:
            line = saving_sentence(row)
            if line:
                out.print(line, markup=False)
        tell_complexities(found)
    _tell(store, info, outcome, page)


def _tell(store: Store, info: RunInfo, outcome: Outcome | None, page: Path | None) -> None:
    """Say what needs saying besides the numbers: weak models, limits, failures, where things are."""
    out = console()
    if info.weak:
        out.print(
            f"{info.model} is too weak for claims about accuracy: read the tokens, not the percentages.", markup=False
        )
    _tell_failures(store, outcome)
    if page is not None:
        out.print(f"Report: {page}", soft_wrap=True, markup=False)


def _tell_failures(store: Store, outcome: Outcome | None, *, stderr: bool = False) -> None:
    """Say why a run is not whole, or not what its methods' names say, and what to do."""
    out = console(stderr=stderr)
    for warning in refused(store):
        out.print(warning, style="yellow", markup=False)
    if outcome is not None and outcome.stopped:
        out.print(
            f"Stopped: {outcome.stopped}. What is finished is kept; the same command goes on.",
            style="yellow",
            markup=False,
        )
    failed = store.failures()
    if failed:
        last = f", the last one with: {outcome.last_error}" if outcome is not None and outcome.last_error else ""
        out.print(f"{failed} attempts failed{last}. The same command tries them again.", style="yellow", markup=False)


def refused(store: Store) -> list[str]:
    """Return a sentence for each method that was plain sampling, or part of it, because its work cannot be done."""
    return [
        f"{method} could not do its work in {count:,} attempts: {reason}." for method, count, reason in store.refusals()
    ]


def saving_sentence(row: Row) -> str | None:
    """Return what a method saved and what that cost, in one sentence."""
    if row.label == row.baseline or row.saving is None or row.saving_interval is None:
        return None
    if row.saving >= 0:
        saved = f"saves {percent(row.saving)} of the tokens of {row.baseline} {interval(row.saving_interval)}"
    else:
        saved = f"takes {1 - row.saving:.2f} times the tokens of {row.baseline}"
    text = f"{row.task}: {row.label} {saved}"
    if row.accuracy_change is not None and row.accuracy_change_interval is not None:
        text += (
            f" at {percent(row.accuracy_change, signed=True)} accuracy {interval(row.accuracy_change_interval, True)}"
        )
        if row.non_inferior is not None:
            equal = "not worse" if row.non_inferior else "not shown to be as good"
            text += f"; {equal} at a margin of {100 * row.margin:g} points"
    if row.beats_mixture is not None and row.mixture is not None:
        beats = "beats" if row.beats_mixture else "does not beat"
        text += f"; {beats} mixing {row.mixture[0]} and {row.mixture[1]}"
    return text


def run_json(
    info: RunInfo, outcome: Outcome | None, rows: Sequence[Row], warnings: Sequence[str] = ()
) -> dict[str, object]:
    """Return the object that `--json` prints; `docs/json.md` describes it."""
    run: dict[str, object] = {
        "schema": SCHEMA,
        "folder": str(info.folder),
        "model": info.model,
        "weak": info.weak,
        "sampling": dict(info.sampling),
        "warnings": list(warnings),
    }
    if outcome is not None:
        run |= {
            "done": outcome.done,
            "kept": outcome.kept,
            "failed": outcome.failed,
            "stopped": outcome.stopped,
            "seconds": round(outcome.seconds, 3),
            "tokens": outcome.tokens,
        }
    return {"run": run, "rows": [row.to_json() for row in rows]}


def _with_efficiency(store: Store, rows: list[Row]) -> list[Row]:
    """Add what needs the stored replies, for runs that are not too large to read them all."""
    from ponder.bench.efficiency import MOST, with_efficiency
    from ponder.tasks import load_task

    if sum(row.attempts for row in rows) > MOST:
        return rows
    verifiers = {}
    for task in dict.fromkeys(row.task for row in rows):
        with suppress(PonderError):  # a task of the user's own file may be gone by now
            verifiers[task] = load_task(task).verifier
    return with_efficiency(rows, store.records(traces=True), verifiers)


def _rows_beside(path: Path, tasks: list[str], margin: float, price: Price | None) -> list[Row]:
    """Summarise another run, so that it can stand beside this one."""
    with Store(path, write=False) as store:
        info = RunInfo.read(store)
        arms = {task: by_method for task, by_method in read_arms(store, info).items() if task in tasks}
        return rows_of(arms, baseline=None, margin=margin, price=price)


def _write_report(
    store: Store, info: RunInfo, outcome: Outcome | None, rows: Sequence[Row], found: Sequence[Complexity]
) -> Path:
    from ponder.bench.report import build_report

    notes = [f"The run stopped early: {outcome.stopped}."] if outcome is not None and outcome.stopped else []
    data = report_data(store, info, rows, [*notes, *refused(store)])
    return build_report(replace(data, complexities={one.task: one for one in found}), info.folder)
