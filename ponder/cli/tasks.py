"""`ponder tasks`: the benchmarks that come with ponder."""

from __future__ import annotations

import click

from ponder.cli.options import json_option
from ponder.cli.output import console, print_json


@click.command()
@json_option
def tasks(as_json: bool) -> None:
    """List the benchmarks. Options follow a colon, as in arithmetic:level=3,language=zh."""
    from rich.table import Table

    from ponder.tasks import TASKS

    if as_json:
        print_json([{"name": name, "summary": entry.summary} for name, entry in TASKS.items()])
        return
    grid = Table(box=None, pad_edge=False, header_style="bold")
    grid.add_column("task", no_wrap=True)
    grid.add_column("what it is")
    for name, entry in TASKS.items():
        grid.add_row(name, entry.summary)
    console().print(grid)
