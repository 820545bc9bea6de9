"""What commands share: consoles, tables of results, numbers as people read them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from ponder.bench.summary import Row


def console(*, stderr: bool = False) -> Console:
    """Return a console: colours only on a terminal, and never where NO_COLOR is set."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    columns = os.environ.get("COLUMNS", "")
    known = int(columns) if columns.isascii() and columns.isdigit() and len(columns) < 6 else 0
    width = None if stream.isatty() else known or 140
    return Console(stderr=stderr, width=width, highlight=False, soft_wrap=False)


def print_json(value: object) -> None:
    """Print one JSON value and nothing else; characters that the output cannot take are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=2)
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        text = json.dumps(value, indent=2)
    click.echo(text)


def percent(value: float | None, signed: bool = False) -> str:
    """Return a share as percent with one decimal, or a dash."""
    if value is None:
        return "–"
    return f"{100 * value:+.1f} %" if signed else f"{100 * value:.1f} %"


def interval(bounds: Sequence[float] | None, signed: bool = False) -> str:
    """Return an interval of shares as percent."""
    if bounds is None:
        return ""
    low, high = (f"{100 * bound:{'+' if signed else ''}.1f}" for bound in bounds)
    return f"[{low}, {high}]"


def results_table(rows: Sequence[Row], title: str) -> Table:
    """Return the table that `bench`, `compare` and `replay` print."""
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=escape(title), title_justify="left", pad_edge=False, box=None, header_style="bold")
    several_tasks = len({row.task for row in rows}) > 1
    several_models = len({row.model for row in rows}) > 1
    heads = [*(["task"] if several_tasks else []), *(["model"] if several_models else []), "method"]
    for head in heads:
        table.add_column(head, no_wrap=True)
    for head in ("n", "accuracy", "95 %", "tokens", "saved", "95 %", "Δ accuracy", "95 %", "cut", "p50 s"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in rows:
        names = [*([row.task] if several_tasks else []), *([row.model] if several_models else []), row.label]
        table.add_row(*map(escape, names), *_cells(row))
    return table


def _cells(row: Row) -> list[str]:
    base = row.baseline == row.label
    return [
        f"{row.questions:,}",
        percent(row.accuracy),
        interval(row.accuracy_interval),
        f"{row.tokens:,.1f}" + ("" if row.exact else "≈"),
        "baseline" if base else percent(row.saving),
        "" if base else interval(row.saving_interval),
        "" if base else percent(row.accuracy_change, signed=True),
        "" if base else interval(row.accuracy_change_interval, signed=True),
        f"{row.truncated}",
        "–" if row.latency.p50 is None else f"{row.latency.p50:.2f}",
    ]


def options_text(options: Mapping[str, object]) -> str:
    """Return a method's options as `key=value` pairs."""
    return ", ".join(f"{key}={value}" for key, value in options.items() if key != "method")
