"""What a replay shows: rows, JSON, and what the samples themselves are like."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ponder.bench.curves import Curve, mean_curve
from ponder.bench.graded import Disagreement
from ponder.bench.replay import Replayed, ReplayPlan
from ponder.bench.results import SCHEMA, pick_baseline
from ponder.bench.summary import Json, Row, summarize

if TYPE_CHECKING:
    from rich.table import Table


def rows_of(result: Replayed, baseline: str | None = None, margin: float = 0.05) -> list[Row]:
    """Return a row for each method and subset, compared with the baseline on the problems that both have."""
    labels = list(result.arms)
    return summarize(result.arms, pick_baseline(labels, baseline), margin=margin, constants=None)


def replay_json(plan: ReplayPlan, result: Replayed, rows: Sequence[Row]) -> dict[str, object]:
    """Return the object that `--json` prints; docs/replay.md describes it."""
    run: dict[str, object] = {
        "schema": SCHEMA,
        "traces": str(plan.path),
        "grading": plan.grading,
        "verifier": result.verifier,
        "problems": result.problems,
        "left_out": result.left_out,
        "without_answer": result.unanswered,
        "graded": {"recorded": result.by_source, "ponder": result.by_ponder, "unknown": result.unknown},
        "tokenizers": sorted(result.tokenizers),
        "subsets": [
            {
                **({plan.by: subset.value} if plan.by else {}),
                "problems": subset.problems,
                "samples": subset.samples,
                "closed_thinking": subset.closed / subset.samples,
            }
            for subset in result.subsets.values()
        ],
        "timeouts": result.timeouts,
        "failures": result.failures,
    }
    shown: dict[str, object] = {"run": run, "rows": [_row(plan, result, row) for row in rows]}
    if plan.curve:
        shown["curves"] = [curve.to_json() for curve in curves_of(plan, result)]
    if plan.disagreements:
        shown["disagreements"] = [found._asdict() for found in result.disagreements]
    return shown


def curves_of(plan: ReplayPlan, result: Replayed) -> list[Curve]:
    """Return the curve of each subset over the number of samples."""
    return [
        mean_curve(questions, "" if plan.by is None else f"{plan.by}={value}")
        for value, questions in result.questions.items()
    ]


def _row(plan: ReplayPlan, result: Replayed, row: Row) -> dict[str, Json]:
    values = row.to_json()
    if plan.by:
        values["by"] = {plan.by: result.values[row.label]}
    return values


def notes(plan: ReplayPlan, result: Replayed) -> Iterator[str]:
    """Yield what needs saying besides the numbers, a sentence each."""
    for subset in result.subsets.values():
        name = f"{plan.by} = {subset.value}: " if plan.by else ""
        closed = 100 * subset.closed / subset.samples
        yield f"{name}{subset.samples:,} samples of {subset.problems:,} problems; {closed:.1f} % reached their end."
    if plan.grading == "recorded" and result.by_ponder:
        count = f"{result.by_ponder:,} samples"
        yield f"{count} that the source did not grade were judged by the verifier {result.verifier!r}."
    if result.unanswered:
        yield f"{result.unanswered:,} problems have no reference answer: they are counted apart, never as wrong."
    if result.left_out:
        yield f"{result.left_out:,} problems do not have every {plan.by} and were left out."
    if result.timeouts or result.failures:
        yield f"{result.timeouts + result.failures:,} judgements did not end in time or failed: they count as unknown."
    if plan.disagreements:
        yield f"{len(result.disagreements):,} samples are graded otherwise by their source than by our verifier."


def disagreements_table(found: Sequence[Disagreement]) -> Table:
    """Return the table of samples that are graded differently."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title="Disagreements", title_justify="left", pad_edge=False, box=None, header_style="bold")
    for head in Disagreement._fields:
        table.add_column(head, overflow="fold")
    for row in found:
        table.add_row(*("–" if value is None else escape(str(value)) for value in row))
    return table
