"""`ponder shrink`: make models smaller, or write them as the files that llama.cpp runs."""

from __future__ import annotations

from pathlib import Path

import click

from ponder.cli.counted import counted
from ponder.cli.options import json_option
from ponder.cli.output import print_json
from ponder.core.errors import OptionError

_EXAMPLES = """\b
Examples:
  ponder shrink export runs/tiny --out tiny.gguf
  ponder shrink export runs/short --base runs/tiny --out short.gguf
"""


@click.group()
def shrink() -> None:
    """Make models smaller, or write them as the files that llama.cpp runs."""


@shrink.command(epilog=_EXAMPLES)
@click.argument("model", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), required=True, metavar="FILE", help="The GGUF file to write.")
@click.option(
    "--type",
    "kind",
    type=click.Choice(["f32", "f16", "bf16", "q8_0"]),
    default="f16",
    show_default=True,
    help="How weights are stored; q8_0 takes half the room of f16, and is for whole models only.",
)
@click.option(
    "--base",
    type=click.Path(path_type=Path),
    metavar="MODEL",
    help="The base of an adapter: a transformers folder or a GGUF file.",
)
@json_option
def export(model: Path, out: Path, kind: str, base: Path | None, as_json: bool) -> None:
    """Write MODEL as a GGUF file for llama.cpp.

    MODEL is the folder of a Llama as transformers saves it, with its tokenizer; or the folder of a LoRA adapter as PEFT
    saves it, which goes beside its base (--base).
    """
    from ponder.shrink.export import export_adapter, export_model
    from ponder.weights.lora import is_lora

    adapter = is_lora(model)
    if adapter and base is not None:
        export_adapter(model, base, out, kind)
    elif base is not None:
        raise OptionError(f"--base is for adapters, and {model} holds none (no adapter_config.json); leave it out")
    else:
        with counted("weights") as progress:
            export_model(model, out, kind, progress)
    size = out.stat().st_size
    if as_json:
        print_json(
            {"schema": 1, "file": str(out), "kind": "adapter" if adapter else "model", "type": kind, "size": size}
        )
    else:
        click.echo(f"{out}: {size / 1e6:,.1f} MB, {kind}")
