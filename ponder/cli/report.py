"""`ponder report`: a run's table, export and report once more, without running anything."""

from __future__ import annotations

from pathlib import Path

import click

from ponder.bench.prices import read_price
from ponder.bench.results import RunInfo
from ponder.bench.session import folders
from ponder.bench.store import Store
from ponder.cli.finish import finish_run
from ponder.cli.options import (
    baseline_option,
    beside_option,
    json_option,
    kind_option,
    margin_option,
    price_option,
)


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@baseline_option
@margin_option
@price_option
@beside_option
@kind_option
@json_option
def report(
    run: Path,
    baseline: str | None,
    margin: float,
    price_spec: str | None,
    beside: tuple[Path, ...],
    kind: str | None,
    as_json: bool,
) -> None:
    """Print RUN's table again and write its report.html, plots and attempts.jsonl."""
    with Store(folders([run])[0], write=False) as store:
        info = RunInfo.read(store)
        price = read_price(price_spec, info.model) if price_spec else None
        finish_run(
            store, info, None, only=None, tasks=None, baseline=baseline, margin=margin,
            price=price, beside=beside, kind=kind, report=True, as_json=as_json,
        )  # fmt: skip
