"""What a step of `ponder train base` costs in each of its stages, and so the whole training: wall and processor time.

Needs ponder[train]: `python benchmarks/base.py --threads 2`. Steps are spread over a stage, so that their rows are as
long as the stage's. On two threads a figure says something only where no other program takes part of a core.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ponder.train.base.recipe import Recipe
    from ponder.train.loops.encode import Encoded
    from ponder.train.loops.plan import Plan
    from ponder.train.loops.settings import SFT

WARM = 3
"""Steps that are not counted."""


def prepared(recipe: Recipe, settings: SFT) -> tuple[PreTrainedTokenizerBase, list[Encoded], list[str], Plan]:
    """Return the tokenizer, the rows, the names of the stages and the plan of a recipe."""
    from ponder.train.base.data import make_stages, tokenizer_texts
    from ponder.train.base.tokenizer import learn_tokenizer
    from ponder.train.loops.encode import encode
    from ponder.train.loops.plan import make_plan
    from ponder.train.loops.portions import divide

    stages = make_stages(recipe)
    tokenizer = learn_tokenizer(tokenizer_texts(stages), recipe.vocabulary, recipe.context)
    encoded = [encode(tokenizer, stage.rows) for stage in stages]
    rows = [row for some in encoded for row in some]
    names = [stage.name for stage in stages]
    portions = divide(settings, names, encoded)
    plan = make_plan(settings, [len(row.ids) for row in rows], [portion.rows for portion in portions])
    return tokenizer, rows, names, plan


def step_seconds(
    recipe: Recipe,
    settings: SFT,
    tokenizer: PreTrainedTokenizerBase,
    rows: list[Encoded],
    batches: list[tuple[int, ...]],
    attention: str,
) -> tuple[float, float]:
    """Return the wall and the processor seconds of a step over `batches`, of which the first few come twice."""
    import torch

    from ponder.train.base.model import fresh_model
    from ponder.train.loops.adapt import adapted
    from ponder.train.loops.plan import Plan
    from ponder.train.loops.record import Recorder, Step
    from ponder.train.loops.trainer import PlannedTrainer, run

    clocks: list[tuple[float, float]] = []

    def note(step: Step) -> None:
        clocks.append((time.monotonic(), time.process_time()))

    plan = Plan((*batches[:WARM], *batches), (WARM + len(batches),))
    model = fresh_model(recipe, tokenizer)
    model.set_attn_implementation(attention)
    model = adapted(settings, model)
    with tempfile.TemporaryDirectory() as place:
        recorder = Recorder(Path(place, "log.jsonl"), plan, rows, progress=note)
        recorder.begin(0)
        dtype = getattr(torch, settings.dtype)
        trainer = PlannedTrainer(settings, model, tokenizer, rows, plan, Path(place), recorder, dtype)
        trainer.args.save_strategy = "no"
        run(trainer, settings, None)
    wall, processor = ((clocks[-1][at] - clocks[WARM - 1][at]) / len(batches) for at in (0, 1))
    return wall, processor


def main() -> None:
    """Measure a few steps of each stage."""
    asked = arguments()
    import torch

    from ponder.train.base.recipe import SIZES
    from ponder.train.base.run import training
    from ponder.train.loops.load import bfloat16_is_quick
    from ponder.train.loops.quiet import quiet

    torch.set_num_threads(asked.threads)
    recipe, began = SIZES[asked.size], time.process_time()
    settings = training(recipe, asked.dtype or ("bfloat16" if bfloat16_is_quick() else "float32"))
    attention = asked.attention or ("eager" if settings.dtype == "bfloat16" else "sdpa")
    with quiet():
        tokenizer, rows, names, plan = prepared(recipe, settings)
        print(f"data: {time.process_time() - began:.0f} s of processor time")
        total = [0.0, 0.0]
        for name, first, end in zip(names, (0, *plan.ends), plan.ends, strict=False):
            picked = [plan.batches[first + at * (end - first) // asked.steps] for at in range(asked.steps)]
            wall, processor = step_seconds(recipe, settings, tokenizer, rows, picked, attention)
            total = [total[0] + wall * (end - first), total[1] + processor * (end - first)]
            print(f"{name}: {end - first} steps of {1e3 * wall:.0f} ms, {1e3 * processor:.0f} ms of processor time")
    print(
        f"{asked.size}, {settings.dtype}, {attention}, {asked.threads} threads: {total[0] / 60:.1f} minutes, "
        f"{total[1] / 60:.1f} of processor time, without data and exam"
    )


def arguments() -> argparse.Namespace:
    """Return what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", default="strong")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--steps", type=int, default=12, help="of each stage")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), help="unless what is quick here")
    parser.add_argument("--attention", choices=("eager", "sdpa"), help="unless what training takes")
    return parser.parse_args()


if __name__ == "__main__":
    main()
