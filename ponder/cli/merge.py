"""`ponder merge`: one model out of two, at a weight."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Literal

import click

from ponder.cli.counted import counted
from ponder.cli.options import json_option
from ponder.cli.output import print_json

_FOLDER = click.Path(path_type=Path)
_EXAMPLES = """\b
Examples:
  ponder merge base reasoner --weight 0.6 --out between
  ponder merge long-lora short-lora --weight 1.2 --out shorter-lora
  ponder merge base short-lora --weight 0.5 --out half-short
"""


@click.command(epilog=_EXAMPLES)
@click.argument("first", type=_FOLDER)
@click.argument("second", type=_FOLDER)
@click.option("--weight", type=float, required=True, help="0 is FIRST, 1 is SECOND; below and above extrapolates.")
@click.option("--out", type=_FOLDER, required=True, metavar="DIR", help="The new folder.")
@click.option(
    "--method",
    type=click.Choice(["linear", "slerp"]),
    default="linear",
    show_default=True,
    help="Along the line, or along the arc between the weights of each tensor.",
)
@click.option(
    "--rank",
    type=click.IntRange(1),
    help="Cut a merged adapter down to this rank, and tell the error. Default: the sum of both ranks, which is exact.",
)
@json_option
def merge(
    first: Path,
    second: Path,
    weight: float,
    out: Path,
    method: Literal["linear", "slerp"],
    rank: int | None,
    as_json: bool,
) -> None:
    """Write FIRST + weight * (SECOND - FIRST) into a new folder.

    Both are whole models (transformers folders) or both LoRA adapters (PEFT folders) of one base. Or FIRST is a base
    and SECOND its adapter: then the adapter is built in at the weight. Tokenizer, template and configuration are
    FIRST's.
    """
    from ponder.train.merge import merge as merge_models

    with counted("tensors") as progress:
        merged = merge_models(first, second, out, weight, method=method, rank=rank, progress=progress)
    if as_json:
        print_json({"schema": 1, "out": str(out), **asdict(merged)})
        return
    size = f"{merged.tensors:,} tensors" if merged.kind == "model" else f"rank {merged.rank}"
    told = "exact" if merged.error == 0 else f"relative error {merged.error:.2%}"
    click.echo(f"{out}: {merged.kind}, {size}" + (f", {told}" if merged.kind == "adapter" else ""))
