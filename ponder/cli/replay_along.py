"""`ponder replay --along`: every stop rule at every threshold on recorded thoughts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ponder.cli.output import console, percent, print_json, results_table

if TYPE_CHECKING:
    from ponder.bench.along import Along, AlongPlan


def show_along(plan: AlongPlan, margin: float, plot: Path | None, as_json: bool) -> None:
    """Try all rules, print what each gives, and draw it where a file is named."""
    from ponder.bench.along import along_json, replay_along
    from ponder.bench.plots_along import along_plot, check_name, write_plot

    if plot is not None:
        check_name(plot)
    along = replay_along(plan, margin)
    if plot is not None:
        write_plot(plot, along_plot(along.rows))
    if as_json:
        print_json(along_json(plan, along))
        return
    _tell(plan, along)


def _tell(plan: AlongPlan, along: Along) -> None:
    out = console()
    out.print(results_table(along.rows, f"{plan.path.name}: {len(along.thoughts):,} thoughts"))
    probes = sum(len(line.probes) for line in along.thoughts.lines)
    out.print(f"{probes:,} probes, mostly {along.every} tokens apart; their cost is part of the tokens.", markup=False)
    cut = int(along.thoughts.inside.sum())
    if cut:
        text = (
            f"{percent(cut / len(along.thoughts))} of the thoughts were cut before their end: rules that do not stop "
            f"such a thought close it there, and only `full` leaves it cut."
        )
        out.print(text, soft_wrap=True, markup=False)
    if along.unanswered:
        text = f"{along.unanswered:,} problems have no reference answer: they are counted apart, never as wrong."
        out.print(text, soft_wrap=True, markup=False)
