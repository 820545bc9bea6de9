"""Options that several commands share, so that they are spelt and explained alike."""

from __future__ import annotations

from pathlib import Path

import click

from ponder.cli.ranges import Finite

margin_option = click.option(
    "--margin",
    type=Finite(0, 1),
    default=0.05,
    show_default=True,
    help="Loss of accuracy that still counts as equal.",
)
price_option = click.option(
    "--price",
    "price_spec",
    metavar="PRICE",
    help="Per million tokens: in=0.15,cached=0.07,out=0.60, or a TOML table of models.",
)
baseline_option = click.option("--baseline", metavar="METHOD", help="What savings are compared with. Default: sample.")
beside_option = click.option(
    "--beside",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="RUN",
    help="A run of another model to put beside this one.",
)
plugin_option = click.option(
    "--plugin",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Python file with METHODS = {name: class}.",
)
kind_option = click.option(
    "--report",
    "kind",
    type=click.Choice(["token-complexity"]),
    help="What else to tell: how far each method is from the fewest tokens that solve the questions.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON and nothing else.")
