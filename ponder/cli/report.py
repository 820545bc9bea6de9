"""`ponder report`: a run's table, export and report once more, without running anything."""

from __future__ import annotations

from pathlib import Path

import click

from ponder.bench.prices import read_price
from ponder.bench.results import RunInfo
from ponder.bench.session import folders
from ponder.bench.store import Store
from ponder.cli.finish import finish_run
from ponder.cli.ranges import Finite


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--baseline", metavar="METHOD", help="What savings are compared with. Default: sample.")
@click.option(
    "--margin",
    type=Finite(0, 1),
    default=0.05,
    show_default=True,
    help="Loss of accuracy that still counts as equal.",
)
@click.option("--price", "price_spec", metavar="PRICE", help="Per million tokens: in=0.15,cached=0.07,out=0.60.")
@click.option(
    "--beside",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A run of another model to put beside this one.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON and nothing else.")
def report(
    run: Path, baseline: str | None, margin: float, price_spec: str | None, beside: tuple[Path, ...], as_json: bool
) -> None:
    """Print RUN's table again and write its report.html, plots and attempts.jsonl."""
    with Store(folders([run])[0], write=False) as store:
        info = RunInfo.read(store)
        price = read_price(price_spec, info.model) if price_spec else None
        finish_run(
            store, info, None, only=None, tasks=None, baseline=baseline, margin=margin,
            price=price, beside=beside, report=True, as_json=as_json,
        )  # fmt: skip
