"""`ponder train probe`: learn from a model's own states which of its replies are right."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from ponder.cli.counted import counted
from ponder.cli.engines import EngineKwargs, engine_args, engine_options
from ponder.cli.options import json_option
from ponder.cli.output import console, percent, print_json
from ponder.cli.place import check_folder
from ponder.cli.ranges import AT_ONCE, MOST, Finite
from ponder.core.errors import OptionError

if TYPE_CHECKING:
    from ponder.cli.train_probe_input import Replies
    from ponder.train.probe import Settings


@click.command()
@click.argument("tasks", metavar="TASK[,TASK...]")
@click.option("--out", required=True, type=click.Path(path_type=Path), metavar="FOLDER", help="Where the probe goes.")
@click.option("--method", default="sample:cot=false", show_default=True, help="How the model is asked.")
@click.option("--layer", type=int, default=-1, show_default=True, help="Whose states: 0 is the first, -1 the last.")
@click.option("--epochs", type=click.IntRange(1, MOST), default=20, show_default=True)
@click.option(
    "--rate", type=Finite(0, 1, min_open=True), default=5e-4, show_default=True, help="Learning rate of Adam."
)
@click.option("--seed", type=click.IntRange(0, MOST), default=0, show_default=True, help="Of folds and fits.")
@engine_options
@click.option(
    "--limit", type=click.IntRange(1, MOST), help="Questions of each task. Default: all; 1,000 of those without end."
)
@click.option("--task-seed", type=int, default=0, show_default=True, help="Of generated questions.")
@click.option(
    "--max-tokens", type=click.IntRange(1, MOST), default=512, show_default=True, help="New tokens of a reply."
)
@click.option("--concurrency", type=click.IntRange(1, AT_ONCE), help="Replies at once. Default: what the engine takes.")
@json_option
def probe(
    tasks: str,
    out: Path,
    method: str,
    layer: int,
    epochs: int,
    rate: float,
    seed: int,
    limit: int | None,
    task_seed: int,
    max_tokens: int,
    concurrency: int | None,
    as_json: bool,
    **engine: Unpack[EngineKwargs],
) -> None:
    """Train a probe of whether a reply is right, for confident_or_seek_stronger and other methods with a scorer.

    The model answers the questions of each TASK greedily; of each whole reply the state of one layer is kept that its
    last token was drawn from, and a small network learns from it. It needs a model that shows its states: a
    transformers folder.

    Example: ponder train probe lab:addition,lab:modular --model FOLDER --limit 300 --out probes/mine
    """
    from ponder.bench.specs import build_methods, split_specs
    from ponder.cli.train_probe_input import Asking, collect
    from ponder.core.engine import Sampling
    from ponder.methods import catalogue
    from ponder.tasks import load_task
    from ponder.train.probe import Settings

    check_folder(out)
    methods = build_methods(method, catalogue())
    if len(methods) != 1:
        raise OptionError(f"--method {method!r} must be one method")
    (label, asked), *_ = methods.items()
    asking = Asking(asked, Sampling(max_tokens=max_tokens, temperature=0.0), layer, limit, concurrency)
    loaded = [load_task(spec, seed=task_seed) for spec in split_specs(tasks)]

    async def drawn() -> Replies:
        with counted("replies") as progress:
            return await collect(loaded, engine_args(concurrency, **engine), asking, progress)

    replies = asyncio.run(drawn())
    found = _train(replies, label, out, layer, Settings(epochs, rate, seed=seed))
    if as_json:
        print_json({"schema": 1, "out": str(out), **found})
    else:
        _print(out, found)


def _train(replies: Replies, method: str, out: Path, layer: int, settings: Settings) -> dict[str, object]:
    """Fit, measure and save; returns what is told."""
    from ponder.steer.calibration import auc
    from ponder.train.probe import fit, folds, out_of_fold, save_probe

    states, right, tasks = replies.matrix(), replies.right, replies.tasks
    arrays = fit(states, right, settings)
    names = list(dict.fromkeys(tasks))

    def held(groups: list[str]) -> float:
        return auc(out_of_fold(states, right, groups, settings), right)

    measured = {
        "auc": held(folds(len(right), settings.seed)),
        "auc_other_tasks": held(tasks) if len(names) > 1 else None,
        "auc_mean_logprob": auc(replies.logprobs, right),
    }
    facts = {"model": replies.model, "method": method, "tasks": names, "layer": layer, "questions": len(right)}
    known = {name: value for name, value in measured.items() if value is not None}
    save_probe(out, arrays, layer, {**facts, "width": states.shape[1], "measured": known})
    return {**facts, "right": sum(right) / len(right), "left_out": replies.left, "tokens": replies.tokens, **measured}


def _print(out: Path, found: dict[str, object]) -> None:
    say = console().print
    say(f"{out}: layer {found['layer']} of {found['model']}, {found['questions']:,} replies", markup=False)
    say(
        f"{percent(float(str(found['right'])))} are right; {found['left_out']:,} were cut or stated nothing",
        markup=False,
    )
    say(f"AUC {found['auc']:.3f} across folds; 0.5 is no use", markup=False)
    if found["auc_other_tasks"] is not None:
        say(f"AUC {found['auc_other_tasks']:.3f} on each task by a probe of the others", markup=False)
    say(f"AUC {found['auc_mean_logprob']:.3f} of mean_logprob on the same replies, without training", markup=False)
