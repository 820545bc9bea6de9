"""What `--report token-complexity` prints: each method beside the bound that the questions' token complexities set."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from ponder.bench.arms import Arm
from ponder.bench.complexity import KIND, Complexity, token_complexity
from ponder.cli.output import console, interval, percent
from ponder.core.errors import OptionError

if TYPE_CHECKING:
    from rich.table import Table


def check_kind(kind: str | None, methods: Sequence[str]) -> None:
    """Raise `OptionError` before a run whose report could tell nothing."""
    if kind == KIND and len(methods) < 2:
        raise OptionError(f"--report {KIND} compares the replies of several methods; name two or more with --methods")


def complexities(kind: str | None, arms: Mapping[str, Mapping[str, Arm]]) -> list[Complexity]:
    """Return one for each task, where they are asked for."""
    return [token_complexity(by_method) for by_method in arms.values()] if kind == KIND else []


def complexity_json(found: Sequence[Complexity]) -> dict[str, object]:
    """Return what they add to the JSON of a run; nothing where they were not asked for."""
    return {"token_complexity": [one.to_json() for one in found]} if found else {}


def tell_complexities(found: Sequence[Complexity]) -> None:
    """Print the tables, each with what it says in words."""
    out = console()
    for one in found:
        out.print(complexity_table(one))
        out.print(sentence(one), markup=False)
        out.print()


def complexity_table(found: Complexity) -> Table:
    """Return the table of one task."""
    from rich.markup import escape
    from rich.table import Table

    title = escape(f"{found.task} · token complexity of {len(found.questions):,} questions")
    table = Table(title=title, title_justify="left", pad_edge=False, box=None, header_style="bold")
    table.add_column("method", no_wrap=True)
    for head in ("tokens", "accuracy", "bound", "below it", "95 %", "fewest tokens", "times", "95 %", "predicted"):
        table.add_column(head, justify="right", no_wrap=True)
    for row in found.rows:
        table.add_row(
            escape(row.label),
            f"{row.tokens:,.1f}",
            percent(row.accuracy),
            percent(row.bound),
            percent(row.below, signed=True),
            interval(row.below_interval, signed=True),
            "–" if row.fewest is None else f"{row.fewest:,.1f}",
            "–" if row.excess is None else f"{row.excess:,.2f}",
            "" if row.excess_interval is None else "[{:,.2f}, {:,.2f}]".format(*row.excess_interval),
            percent(row.predicted),
        )
    return table


def sentence(found: Complexity) -> str:
    """Say in words what the bound is, and how well lengths tell right from wrong."""
    if not found.solvable:
        return f"{found.task}: no length of these replies solves any of {len(found.questions):,} questions: no bound."
    return (
        f"{found.task}: some length solves {found.solvable:,} of {len(found.questions):,} questions; "
        f"the fewest tokens that solve them all are {found.tokens:,.1f} a question "
        f"({found.tokens_solvable:,.1f} over those alone). "
        f"{percent(found.agreement)} of the replies are right exactly if they are long enough."
    )
