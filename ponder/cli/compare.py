"""`ponder compare`: runs side by side on the questions that they share."""

from __future__ import annotations

from pathlib import Path

import click

from ponder.bench.compare import arms_of, compare_runs
from ponder.bench.prices import read_price
from ponder.bench.results import SCHEMA
from ponder.cli.complexity import complexities, complexity_json, tell_complexities
from ponder.cli.finish import saving_sentence
from ponder.cli.options import json_option, kind_option, margin_option, price_option
from ponder.cli.output import console, print_json, results_table


@click.command()
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN [RUN...]")
@click.option(
    "--baseline", metavar="METHOD", help="Of the first run; what the others are compared with. Default: sample."
)
@margin_option
@price_option
@kind_option
@json_option
def compare(
    runs: tuple[Path, ...], baseline: str | None, margin: float, price_spec: str | None, kind: str | None, as_json: bool
) -> None:
    """Compare every method of every RUN with the baseline of the first, question by question.

    A RUN is a folder of `ponder bench`. Arms are paired on the questions that both answered.
    """
    price = read_price(price_spec) if price_spec else None
    rows = compare_runs(runs, baseline=baseline, margin=margin, price=price)
    found = complexities(kind, arms_of(runs, baseline)[0] if kind else {})
    if as_json:
        run = {"schema": SCHEMA, "folders": [str(path) for path in runs]}
        print_json({"run": run, "rows": [row.to_json() for row in rows], **complexity_json(found)})
        return
    out = console()
    out.print(results_table(rows, f"compared with {rows[0].baseline}"))
    for row in rows:
        line = saving_sentence(row)
        if line:
            out.print(line, markup=False)
    tell_complexities(found)
