"""What votes and probes cost live: in wall time beside one sample, and beside its_hub and optillm on the same vLLM.

    python benchmarks/votes.py LABEL=MODEL ... [--parts wall,probes,peers] [--write] [--json FILE]

MODEL is a transformers folder, opened in this process, or a server as URL#NAME. For each of them:

- *wall*: one sample, the best of n, and n samples one after the other, all replies of one length: their end is
  forbidden (--end names the ids of the tokens that end a server's replies). Every arm gets a prompt that nobody read.
- *probes*: `dynasor` whose probes never agree beside the sample with the same seed: what looking costs.
- *peers* (vLLM only): `self_consistency`, its_hub's SelfConsistency and optillm's majority_voting answer the same
  questions, one at a time. The server's own counters say what each took, ponder's verifier who was right. Both are
  installed into environments of their own. Nobody else may use the server meanwhile.

The arms take turns and ratios are taken within a turn, so that other work on the machine decides little; where it is
busy, the CPU time of a model in this process says more than the clock. Each row is kept as it comes: the same command
goes on where it was stopped, and more --rounds or --questions are added to what is there.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path

from engines import ends_of
from first_study import between
from serving.results import Results
from voting import live, rivals, tables

from ponder.core.engine import Engine
from ponder.core.judge import Item, Task
from ponder.engines.open import EngineOptions, open_engine
from ponder.engines.torch.engine import TorchEngine
from ponder.tasks.table import load_task

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PARTS = ("wall", "probes", "peers")
SETTINGS = ("n", "tokens", "every", "most", "temperature", "seed", "dtype", "threads")
"""What rows of one file must have in common."""


def in_process(spec: str) -> bool:
    """Say whether a model is a folder and no server."""
    return Path(spec).is_dir()


@asynccontextmanager
async def opened(spec: str, options: argparse.Namespace) -> AsyncIterator[Engine]:
    """Open a folder in the type that was asked for, or a server."""
    if in_process(spec):
        async with TorchEngine(spec, dtype=options.dtype, threads=options.threads) as engine:
            yield engine
    else:
        marks = EngineOptions(think_open=options.think[0], think_close=options.think[1], retries=1)
        async with open_engine(spec, marks) as loaded:
            yield loaded.engine


async def wall(engine: Engine, label: str, results: Results, options: argparse.Namespace) -> None:
    """Measure rounds that are not measured yet. One that is thrown away warms up."""
    wanted = [turn for turn in range(options.rounds) if f"{label}/wall/{turn}" not in results.rows]
    if wanted:
        await live.wall(engine, argparse.Namespace(**{**vars(options), "tokens": 4}), options.rounds + 1)
    for turn in wanted:
        keep(results, f"{label}/wall/{turn}", await live.wall(engine, options, turn) | options.where)


async def probes(engine: Engine, label: str, results: Results, options: argparse.Namespace) -> None:
    """Probe questions that are not probed yet."""
    task = load_task(options.probe_task)
    for turn, item in numbered(task, options.probe_questions):
        key = f"{label}, {task.name}, {options.ask}/probes/{turn}"
        if key not in results.rows:
            keep(results, key, await live.probes(engine, options, task, item.problem, turn) | options.where)


async def peers(engine: Engine, label: str, spec: str, results: Results, options: argparse.Namespace) -> None:
    """Ask all libraries what they were not asked yet."""
    task = load_task(options.task)
    keys = {turn: f"{label}, {task.name}/peers/{turn}" for turn in range(options.questions)}
    wanted = [pair for pair in numbered(task, options.questions) if keys[pair[0]] not in results.rows]
    if wanted:
        async with rivals.votes(engine, spec, task, options.out.resolve(), options) as ask:
            for turn, item in wanted:
                keep(results, keys[turn], await ask(item, turn))


def numbered(task: Task, questions: int) -> list[tuple[int, Item]]:
    """Return so many questions with their numbers."""
    return list(enumerate(islice(task.items(questions), questions)))


def keep(results: Results, key: str, row: live.Row) -> None:
    """Keep a row and say so."""
    results.put(key, row)
    print(key, json.dumps(row), flush=True)


async def measure(results: Results, options: argparse.Namespace) -> None:
    """Measure each model in turn."""
    for label, spec in options.models:
        if in_process(spec) and not options.end:
            options.end = ends_of(spec, None)
        if "wall" in options.parts and not options.end:
            raise SystemExit(f"{label}: name the tokens that end its replies with --end, or leave out the part wall")
        options.where = {"in_process": in_process(spec)}
        async with opened(spec, options) as engine:
            if "wall" in options.parts:
                await wall(engine, label, results, options)
            if "probes" in options.parts:
                await probes(engine, label, results, options)
            if "peers" in options.parts and not in_process(spec):
                await peers(engine, label, spec, results, options)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="LABEL=MODEL", help="none: only write what is measured")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--n", type=int, default=8, help="samples of a vote")
    parser.add_argument("--tokens", type=int, default=64, help="of each reply in the part `wall`")
    parser.add_argument("--rounds", type=int, default=5, help="of the part `wall`")
    parser.add_argument("--every", type=int, default=64, help="tokens between two probes")
    parser.add_argument("--most", type=int, default=512, help="tokens that any other reply may have")
    parser.add_argument("--questions", type=int, default=30, help="of the part `peers`")
    parser.add_argument("--probe-questions", type=int, default=10)
    parser.add_argument("--task", default="arithmetic:level=1-5", help="what `peers` are asked")
    parser.add_argument("--probe-task", default="arithmetic:level=5", help="what is asked where answers are probed")
    parser.add_argument("--ask", default="sentence", choices=["sentence", "close"], help="how `dynasor` probes")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--dtype", default="float32", choices=["float32", "bfloat16", "float16", "auto"], help="folders"
    )
    parser.add_argument("--threads", type=int, default=1, help="of a folder's model")
    parser.add_argument("--end", default="", help="ids of the tokens that end a reply, with commas")
    parser.add_argument("--think", default="<think>,</think>", help="how a server's model marks its thinking")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "votes", help="the results' folder")
    parser.add_argument("--write", action="store_true", help=f"write the tables into {PAGE.relative_to(ROOT)}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what the tables show there too")
    options = parser.parse_args()
    options.parts, options.cores = options.parts.split(","), os.sched_getaffinity(0)
    options.end = [int(end) for end in options.end.split(",") if end]
    options.think = options.think.split(",")
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if bad := [model for model in options.models if "=" not in model]:
        parser.error(f"{bad[0]} has no label; say LABEL={bad[0]}")
    options.models = [tuple(model.split("=", 1)) for model in options.models]
    return options


def main() -> int:
    """Measure, show, and write."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    results = Results.open(options.out / "results.json", {name: vars(options)[name] for name in SETTINGS})
    asyncio.run(measure(results, options))
    found = tables.summary(results.rows)
    shown = tables.shown(found)
    print(f"\n{shown}")
    if options.json:
        options.json.write_text(json.dumps({"settings": results.settings, **found}, indent=1) + "\n")
    if options.write:
        PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), "votes", shown), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
