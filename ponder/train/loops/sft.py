"""Supervised fine-tuning: the model learns the assistant's last reply of each conversation, stage after stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.train.loops.messages import Conversation, Stage, read_messages
from ponder.train.loops.settings import SFT

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ponder.train.loops.adapt import Model
    from ponder.train.loops.portions import Portion
    from ponder.train.loops.record import Step

__all__ = ["SFT", "Conversation", "Evaluate", "Progress", "Result", "Stage", "read_messages", "train"]

Evaluate = Callable[["Model"], Mapping[str, float]]
"""Measures a model in the midst of training, in evaluation mode; what it returns is logged by name."""
Progress = Callable[["Step"], None]


@dataclass(frozen=True, slots=True)
class Result:
    """What a run did. `last` is its last step, None if all were done before."""

    out: Path
    portions: tuple[Portion, ...]
    steps: int
    last: Step | None


def train(
    settings: SFT,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    stages: Sequence[Stage],
    out: Path,
    evaluate: Evaluate | None = None,
    progress: Progress | None = None,
    *,
    adapter: Path | None = None,
    begun: Callable[[Sequence[Portion], int], None] | None = None,
) -> Result:
    """Train `model` on `stages` and save the result in `out`: an adapter for PEFT, or a transformers folder.

    An unfinished run of the same settings in `out` goes on from its last checkpoint, to the same numbers. `adapter`
    is a folder whose adapter is continued; `begun` is told the stages and the steps done before. Raises `DataError`
    for data, a model or a folder that cannot be used, and `OptionError` where memory does not suffice.
    """
    from ponder.train.loops.adapt import adapted, fingerprint, save
    from ponder.train.loops.card import CHECKPOINTS, begin, make_card
    from ponder.train.loops.encode import encode
    from ponder.train.loops.plan import make_plan
    from ponder.train.loops.portions import divide
    from ponder.train.loops.quiet import quiet
    from ponder.train.loops.record import Recorder
    from ponder.train.loops.trainer import PlannedTrainer, aside, last_checkpoint, run, step_of

    with quiet():
        encoded = [encode(tokenizer, stage.rows) for stage in stages]
        rows = [row for some in encoded for row in some]
        portions = divide(settings, [stage.name for stage in stages], encoded)
        plan = make_plan(settings, [len(row.ids) for row in rows], [portion.rows for portion in portions])
        sha256 = fingerprint(model)
        dtype = _computed(settings, model)
        tuned = adapted(settings, model, adapter)
        base = Path(model.name_or_path).name
        template = str(tokenizer.chat_template)
        begin(out, make_card(settings, base, sha256, template, stages, portions))
        checkpoint = last_checkpoint(out / CHECKPOINTS)
        done = step_of(checkpoint) if checkpoint else 0
        measure = None if evaluate is None else aside(evaluate, dtype)
        recorder = Recorder(out / "log.jsonl", plan, rows, measure, progress, settings.eval_every)
        trainer = PlannedTrainer(settings, tuned, tokenizer, rows, plan, out / CHECKPOINTS, recorder, dtype)
        recorder.begin(done)
        if begun is not None:
            begun(portions, done)
        run(trainer, settings, checkpoint)
        save(tuned, tokenizer, out, base, settings.save_dtype)
    shutil.rmtree(out / CHECKPOINTS)
    return Result(out, tuple(portions), len(plan.batches), recorder.last)


def _computed(settings: SFT, model: PreTrainedModel) -> torch.dtype:
    """Return the type to compute in; a base under an adapter is brought to it, weights that learn stay float32."""
    import torch

    asked = {"float32": torch.float32, "bfloat16": torch.bfloat16}.get(settings.dtype)
    if not settings.lora:
        return asked or torch.float32
    if asked is not None:
        model.to(asked)
    return model.dtype
