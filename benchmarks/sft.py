"""What fine-tuning with an adapter costs: tokens for each second of processor time, by how the loss is computed.

Needs ponder[train]: `python benchmarks/sft.py MODEL_FOLDER DATA.jsonl trl|head|all`, one way a process, on rows of
100 to 125 tokens. `trl` is TRL's own loss, `head` computes logits of learnt tokens only, `all` is what
`ponder train sft` does: plain attention and the adapter in the base's type as well.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

STEPS, BATCH = 4, 16


def measure(folder: Path, data: Path, way: str) -> None:
    """Train a few steps on one thread and print the speed of each."""
    import torch

    from ponder.train.loops import trainer as loop
    from ponder.train.loops.adapt import adapted
    from ponder.train.loops.encode import encode
    from ponder.train.loops.load import open_model
    from ponder.train.loops.messages import read_messages
    from ponder.train.loops.plan import make_plan
    from ponder.train.loops.quiet import quiet
    from ponder.train.loops.record import Recorder, Step
    from ponder.train.loops.settings import SFT

    torch.set_num_threads(1)
    settings = SFT(steps=STEPS, batch=BATCH, learning_rate=1e-3)
    model, tokenizer = open_model(folder, folder.name, settings)
    speeds: list[float] = []

    def show(step: Step) -> None:
        nonlocal began
        tokens = sum(len(rows[row].ids) for row in plan.batches[step.step - 1])
        speeds.append(tokens / (time.process_time() - began))
        began = time.process_time()

    with quiet(), tempfile.TemporaryDirectory() as place:
        rows = [row for row in encode(tokenizer, read_messages(data).rows) if 100 <= len(row.ids) <= 125]
        rows = sorted(rows, key=lambda row: len(row.ids))[: 3 * BATCH]
        plan = make_plan(settings, [len(row.ids) for row in rows], [range(len(rows))])
        if way != "all":
            loop._SHORT = 0
        dtype = model.dtype if way == "all" else torch.float32
        recorder = Recorder(Path(place, "log.jsonl"), plan, rows, progress=show)
        recorder.begin(0)
        trainer = loop.PlannedTrainer(
            settings, adapted(settings, model), tokenizer, rows, plan, Path(place), recorder, dtype
        )
        trainer.args.save_strategy = "no"
        if way == "trl":
            trainer._own_head = False
        began = time.process_time()
        trainer.train()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    learnt = sum(row.completion for row in rows) / sum(len(row.ids) for row in rows)
    print(f"{way}: {', '.join(f'{speed:.0f}' for speed in speeds)} tokens/s, {peak:.1f} GB, {learnt:.0%} learnt")


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[3] not in ("trl", "head", "all"):
        sys.exit(__doc__)
    measure(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
