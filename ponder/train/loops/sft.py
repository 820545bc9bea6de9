"""Supervised fine-tuning: the model learns the assistant's last reply of each conversation, stage after stage."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.core.errors import DataError
from ponder.train.loops.messages import Conversation, Stage, read_messages
from ponder.train.loops.settings import SFT

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from ponder.train.loops.record import Step

__all__ = ["SFT", "Conversation", "Evaluate", "Progress", "Stage", "read_messages", "train"]

Evaluate = Callable[["PreTrainedModel"], Mapping[str, float]]
"""Measures a model in the midst of training; what it returns is logged by name."""
Progress = Callable[["Step"], None]


def train(
    settings: SFT,
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    stages: Sequence[Stage],
    out: Path,
    evaluate: Evaluate | None = None,
    progress: Progress | None = None,
) -> None:
    """Train `model` on `stages` and save the result in `out`, continuing where an earlier run of the same broke off."""
    from ponder.train.loops.adapt import adapted, save
    from ponder.train.loops.encode import encode
    from ponder.train.loops.plan import make_plan
    from ponder.train.loops.quiet import quiet
    from ponder.train.loops.record import Recorder
    from ponder.train.loops.trainer import PlannedTrainer

    with quiet():
        encoded = [encode(tokenizer, stage.rows) for stage in stages]
        rows = [row for stage in encoded for row in stage if len(row.ids) <= settings.max_length]
        if not rows:
            raise DataError("no row is left to train on")
        plan = make_plan(settings, [len(row.ids) for row in rows], [range(len(rows))])
        checkpoints = out / "checkpoints"
        found = sorted(checkpoints.glob("checkpoint-*"), key=lambda path: int(path.name.rpartition("-")[2]))
        tuned = adapted(settings, model)
        recorder = Recorder(out / "log.jsonl", plan, rows, evaluate, progress)
        trainer = PlannedTrainer(settings, tuned, tokenizer, rows, plan, checkpoints, recorder)
        recorder.begin(int(found[-1].name.rpartition("-")[2]) if found else 0)
        trainer.train(resume_from_checkpoint=str(found[-1]) if found else None)
        save(tuned, tokenizer, out)
    shutil.rmtree(checkpoints)
