"""The trained probe of the routing study: what the small tiny reasoner's own states say of its answers (2502.04428).

    python benchmarks/routing_probe.py [--threads 1] [--out FILE]
    python benchmarks/routing.py --only tiny --write

The small model answers the study's questions, and others to train on, short and long in engines/torch, greedily. Of
each whole answer the state is read that its last token was drawn from. One probe is trained on the other questions of
all families, as `ponder train probe` does; another, for each family, on those of the other families, since a new task
has no labels. Each answer of the study is recorded with what both say of it, in numbers alone, in
`docs/studies/routing/tiny-probe.jsonl.gz`, which `routing.py` reads, with the answer that is this engine's own. Where
the file is there, nothing is done again; either way it is told how well the probes do on each task.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from math import inf
from pathlib import Path
from typing import Any

import numpy as np
from routing import STUDY, SUBJECTS, Subject, method_of, run_of

from ponder.core.engine import Engine
from ponder.core.judge import Item, Task
from ponder.core.run import Run
from ponder.engines.open import EngineOptions, open_engine
from ponder.scorers.probe import last_state
from ponder.steer.calibration import auc
from ponder.steer.draw import draw
from ponder.tasks.table import load_task
from ponder.train.base.recipe import FAMILIES
from ponder.train.lab.rows import fresh, held_out
from ponder.train.lab.table import load_family
from ponder.train.probe import Settings, fit, probe_of
from ponder.verify import VerifierPool
from ponder.weights.staged import staged_file
from ponder.weights.tensors import Array

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "ponder" / "models" / "tiny-reasoner-small"
SEED, EACH, LAYER, AT_ONCE = 7, 160, -1, 16
"""Of the training questions: their seed and how many of each family; whose states; how many replies at once."""


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer: its state, or None where it was cut or stated nothing, for then no probe is asked."""

    task: str
    id: str
    right: bool
    tokens: int
    state: Array | None


async def replies(
    subject: Subject, side: str, asked: Sequence[tuple[Task, Item]], engine: Engine, pool: VerifierPool
) -> list[Reply]:
    """Return the answers of a side, in the order of the questions."""
    gate, done = asyncio.Semaphore(AT_ONCE), 0

    async def one(task: Task, item: Item) -> Reply:
        nonlocal done
        async with gate:
            run: Run = run_of(subject, {"main": engine}, task)
            asks: Any = {"hidden": (LAYER,), "logprobs": 1}
            sample = await draw(method_of(subject, side), item.problem, run, 0, n=1, asks=asks)
            verdict = await pool.judge(task.verifier, sample.solution.answer, item.reference)
        done += 1
        if done % 100 == 0:
            print(f"{side}: {done} of {len(asked)}", file=sys.stderr)
        known = sample.whole and sample.stated is not None
        state = last_state(sample.call, LAYER) if known else None
        return Reply(task.name, item.problem.id, verdict.correct is True, run.trace.tokens, state)

    return await asyncio.gather(*(one(task, item) for task, item in asked))


def others(tasks: Sequence[Task]) -> list[tuple[Task, Item]]:
    """Return the questions that probes learn from: no test asks them, the study's least of all."""
    made, without = [load_family(spec, SEED) for spec in FAMILIES], held_out()
    found = zip(tasks, made, strict=True)
    return [(task, puzzle.item) for task, family in found for puzzle in islice(fresh(family, without), EACH)]


def rated(learnt: Sequence[Reply], asked: Sequence[Reply], *, apart: bool) -> list[float | None]:
    """Return what a probe says of each answer, with `apart` one that learnt from the other tasks alone."""
    found: list[float | None] = [None] * len(asked)
    for task in dict.fromkeys(reply.task for reply in asked):
        rows = [
            (one.state, int(one.right)) for one in learnt if one.state is not None and (one.task != task or not apart)
        ]
        states = np.stack([state for state, _ in rows])
        probe = probe_of(fit(states, [right for _, right in rows], Settings()))
        for place, reply in enumerate(asked):
            if reply.task == task and reply.state is not None:
                found[place] = round(float(probe.rate(reply.state[None])[0]), 6)
    return found


async def record(subject: Subject, threads: int) -> list[dict[str, Any]]:
    """Return a line for each question of the study."""
    tasks = list(map(load_task, subject.tasks))
    study = [(task, item) for task in tasks for item in task.items(subject.questions)]
    lines: dict[tuple[str, str], dict[str, Any]] = {
        (task.name, item.problem.id): {"task": task.name, "id": item.problem.id, "sides": {}} for task, item in study
    }
    async with open_engine(str(FOLDER), EngineOptions(threads=threads)) as loaded, VerifierPool() as pool:
        for side in ("small-short", "small-long"):
            learnt = await replies(subject, side, others(tasks), loaded.engine, pool)
            asked = await replies(subject, side, study, loaded.engine, pool)
            kinds: Mapping[str, list[float | None]] = {
                "trained probe": rated(learnt, asked, apart=False),
                "trained probe, other tasks": rated(learnt, asked, apart=True),
            }
            for place, reply in enumerate(asked):
                scores = {name: found[place] for name, found in kinds.items()}
                told = {"right": reply.right, "tokens": reply.tokens, "scores": scores}
                lines[reply.task, reply.id]["sides"][side] = told
    return [lines[key] for key in sorted(lines)]


def told(lines: Sequence[Mapping[str, Any]]) -> str:
    """Return how well each probe tells right from wrong, task by task: its AUC, 0.5 being no use."""
    rows = [f"{'AUC':46}{'trained probe':>16}{'other tasks':>16}"]
    for side in ("small-short", "small-long"):
        for task in sorted({line["task"] for line in lines}):
            known = [line["sides"][side] for line in lines if line["task"] == task]
            right = [int(one["right"]) for one in known]
            cells = []
            for name in known[0]["scores"]:
                scores = [one["scores"][name] for one in known]
                useful = auc([-inf if score is None else score for score in scores], right)
                cells.append(f"{useful:16.3f}" if 0 < sum(right) < len(right) else f"{'–':>16}")
            rows.append(f"{side} {task:34}{''.join(cells)}")
    return "\n".join(rows)


def main() -> None:
    """Record what is not recorded yet, and tell."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=STUDY / "tiny-probe.jsonl.gz")
    args = parser.parse_args()
    if not args.out.exists():
        lines = asyncio.run(record(SUBJECTS[0], args.threads))
        with staged_file(args.out) as stage, gzip.GzipFile(stage, "wb", mtime=0) as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines).encode())
    with gzip.open(args.out, "rt", encoding="utf-8") as text:
        print(told(list(map(json.loads, text))))


if __name__ == "__main__":
    main()
