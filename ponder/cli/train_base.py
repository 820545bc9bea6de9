"""`ponder train base`: a small reasoning model from nothing, with its own tokenizer."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, Unpack

import click

from ponder.cli.options import json_option
from ponder.cli.output import console, print_json
from ponder.cli.ranges import MOST, Finite
from ponder.cli.train_packages import need_packages
from ponder.cli.train_progress import TrainProgress

if TYPE_CHECKING:
    from ponder.train.base.measure import Measured
    from ponder.train.base.recipe import Recipe

F = TypeVar("F", bound=Callable[..., object])


class Changes(TypedDict):
    """What the options change in a recipe, by the name of its field; None leaves it as it is."""

    hidden: int | None
    layers: int | None
    heads: int | None
    kv_heads: int | None
    inner: int | None
    vocabulary: int | None
    context: int | None
    passes: float | None
    slips: float | None
    brief: float | None
    direct: float | None
    drills: int | None
    echoes: int | None
    chains: int | None
    thoughts: int | None
    batch: int | None
    learning_rate: float | None
    seed: int | None


_HELP = {
    "hidden": "Width of the model.",
    "layers": "Number of layers.",
    "heads": "Attention heads.",
    "kv_heads": "Heads of keys and values, which attention heads share.",
    "inner": "Width of the feed-forward layers.",
    "vocabulary": "Tokens, the 256 bytes among them.",
    "context": "Longest sequence, in tokens.",
    "passes": "Times that a thought works it all out again; a fraction is a chance.",
    "slips": "Chance of a wrong turn in each pass.",
    "brief": "Share of minimal thoughts among the long ones.",
    "direct": "Share of questions that are answered without thinking.",
    "drills": "Rows of the first stage that are single steps out of chains.",
    "echoes": "Rows of the first stage that only copy.",
    "chains": "Questions of the second stage, whose thoughts are minimal.",
    "thoughts": "Questions of the last stage, whose thoughts are too long.",
    "batch": "Questions a step.",
    "learning_rate": "Highest learning rate.",
    "seed": "Of questions, weights and order; not 0, which is for tests.",
}


def _changes(command: F) -> F:
    """Add an option for each field that can be changed."""
    for name, help in reversed(_HELP.items()):
        whole = Changes.__annotations__[name].__forward_arg__.startswith("int")
        kind = click.IntRange(0, MOST) if whole else Finite(0)
        command = click.option(_flag(name), name, type=kind, help=help)(command)
    return command


def _flag(field: str) -> str:
    return "--lr" if field == "learning_rate" else f"--{field.replace('_', '-')}"


@click.command()
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Where the model goes.")
@click.option("--size", default="strong", show_default=True, help="The recipe to begin with: strong or small.")
@click.option("--family", "families", multiple=True, metavar="SPEC", help="Questions, as in addition:digits=1-3.")
@_changes
@click.option(
    "--questions", type=click.IntRange(1, 1000), default=200, show_default=True, help="Of each family's exam."
)
@click.option("--gguf/--no-gguf", default=True, show_default=True, help="Write model.gguf as well, for llama.cpp.")
@click.option("--threads", type=click.IntRange(1, 1024), help="Threads that train.  [default: all cores]")
@json_option
def base(
    out: Path,
    size: str,
    families: tuple[str, ...],
    questions: int,
    gguf: bool,
    threads: int | None,
    as_json: bool,
    **changes: Unpack[Changes],
) -> None:
    r"""Train a small reasoning model from scratch, tokenizer included.

    Questions come from the lab's families. The model learns single steps and to copy, then minimal chains of thought,
    then to think far longer than needed, and a mode without thinking. What it can is measured at the end,
    on questions that no training asks. Interrupted, the same command goes on where the last checkpoint stands.

    Example: ponder train base --size small --out tiny
    """
    need_packages(*(["gguf"] if gguf else []))
    recipe = _recipe(size, families, changes)
    if threads:
        import torch

        torch.set_num_threads(threads)
    from ponder.cli.base_card import card, results_table, scores
    from ponder.shrink.export import export_model
    from ponder.train.base.run import train_base

    command = _command(recipe, size, out.name)

    def finish(folder: Path, measured: list[Measured]) -> None:
        (folder / "README.md").write_text(card(out.name, recipe, command, measured), "utf-8")
        if gguf:
            export_model(folder, folder / "model.gguf", type="f16")

    with TrainProgress(quiet=as_json) as bar:
        measured = train_base(recipe, out, questions, finish, bar.step)
    if as_json:
        print_json([asdict(score) for score in scores(measured)])
    else:
        console().print(results_table(measured))


def _recipe(size: str, families: tuple[str, ...], changes: Changes) -> Recipe:
    """Return the recipe that the options ask for. Raises `OptionError` for an unknown size or family."""
    from ponder.core.errors import OptionError, nearest
    from ponder.train.base.recipe import SIZES
    from ponder.train.lab.table import load_family

    if size not in SIZES:
        raise OptionError(f"size = {size!r} is not known; it must be one of {', '.join(SIZES)}{nearest(size, SIZES)}")
    for spec in families:
        load_family(spec)
    given: dict[str, Any] = {name: value for name, value in changes.items() if value is not None}
    return replace(SIZES[size], **given, families=families or SIZES[size].families)


def _command(recipe: Recipe, size: str, name: str) -> str:
    """Return the command that trains a recipe anew."""
    from ponder.train.base.recipe import SIZES

    usual = SIZES[size]
    words = ["ponder", "train", "base", "--size", size]
    if recipe.families != usual.families:
        words += [word for spec in recipe.families for word in ("--family", spec)]
    for field in _HELP:
        if getattr(recipe, field) != getattr(usual, field):
            words += [_flag(field), str(getattr(recipe, field))]
    return shlex.join([*words, "--out", name])
