"""What searches cost beside the same ones written naively, and MCTS beside llm-reasoners and optillm.

    python benchmarks/search.py LABEL=MODEL ... [--parts naive,peers] [--write MARK] [--json FILE]

MODEL is a transformers folder, opened in this process in bfloat16, or a vLLM server as URL#NAME. For each of them:

- *naive*: every search as it is, and with one request after the other and no prefix that two requests share: tokens
  generated, positions that went through the model, seconds. Seeds are the same in both ways, and so are the decisions
  as far as the model's arithmetic is: in bfloat16 a batch may round otherwise, so time is compared for each token too.
- *peers* (vLLM only): the MCTS of llm-reasoners and of optillm answer a question with their defaults; ponder's gets the
  same question and, as its budget, as many tokens as the server says that they took. Both are installed into
  environments of their own. Nobody else may use the server meanwhile.

Each row is kept as it comes: the same command goes on where it was stopped, and more --questions are added.
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

from first_study import between
from searching import live, rivals, tables
from serving.results import Results
from voting.live import Row

from ponder.core.engine import Engine
from ponder.core.judge import Item, Task
from ponder.engines.open import EngineOptions, open_engine
from ponder.tasks.table import load_task

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "benchmarks.md"
PARTS = ("naive", "peers")
SETTINGS = ("most", "delimiter", "temperature", "dtype", "threads", "width", "iterations", "step", "depth", "parallel")
"""What rows of one file must have in common."""


def in_process(spec: str) -> bool:
    """Say whether a model is a folder and no server."""
    return Path(spec).is_dir()


@asynccontextmanager
async def served(spec: str, options: argparse.Namespace) -> AsyncIterator[Engine]:
    """Reach a server."""
    marks = EngineOptions(think_open=options.think[0], think_close=options.think[1], retries=1)
    async with open_engine(spec, marks) as loaded:
        yield loaded.engine


def numbered(task: Task, questions: int) -> list[tuple[int, Item]]:
    """Return so many questions with their numbers."""
    return list(enumerate(islice(task.items(questions), questions)))


async def naive(arms: live.Arms, label: str, results: Results, options: argparse.Namespace) -> None:
    """Run what was not run yet."""
    task = load_task(options.task)
    names = list(live.searches("\n"))
    # Each search has questions of its own, and one more warms up: what one has read, the next one would not read.
    rows = numbered(task, len(names) * options.questions + 1)
    keys = [f"{label}/naive/{names[turn % len(names)]}/{turn // len(names)}" for turn, _ in rows[:-1]]
    if all(key in results.rows for key in keys):
        return
    await live.compare(arms, options, task, rows[-1][1], names[0], 0)
    for (turn, item), key in zip(rows[:-1], keys, strict=True):
        if key not in results.rows:
            row = await live.compare(arms, options, task, item, names[turn % len(names)], turn // len(names))
            keep(results, key, row)


async def peers(engine: Engine, label: str, spec: str, results: Results, options: argparse.Namespace) -> None:
    """Ask both libraries, and ponder after each, what they were not asked yet."""
    task = load_task(options.task)
    rows = numbered(task, options.questions)
    keys = {(peer, turn): f"{label}, {task.name}/peers/{peer}/{turn}" for turn, _ in rows for peer in rivals.ABOUT}
    if all(key in results.rows for key in keys.values()):
        return
    async with rivals.searches(engine, spec, task, options.out.resolve(), options) as ask:
        for (peer, turn), key in keys.items():
            if key not in results.rows:
                keep(results, key, await ask(rows[turn][1], peer, turn))


def keep(results: Results, key: str, row: Row) -> None:
    """Keep a row and say so."""
    results.put(key, row)
    print(key, json.dumps(row), flush=True)


async def measure(results: Results, options: argparse.Namespace) -> None:
    """Measure each model in turn."""
    for label, spec in options.models:
        if in_process(spec):
            if "naive" in options.parts:
                async with live.in_process(spec, options) as arms:
                    await naive(arms, label, results, options)
            continue
        async with served(spec, options) as engine:
            if "naive" in options.parts:
                async with live.on_server(engine, spec) as arms:
                    await naive(arms, label, results, options)
            if "peers" in options.parts:
                await peers(engine, label, spec, results, options)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", metavar="LABEL=MODEL", help="none: only write what is measured")
    parser.add_argument("--parts", default=",".join(PARTS))
    parser.add_argument("--questions", type=int, default=3)
    parser.add_argument("--task", default="arithmetic:level=3", help="what is asked")
    parser.add_argument("--most", type=int, default=256, help="tokens of a reply")
    parser.add_argument("--delimiter", default="\\n", help="ends a step")
    parser.add_argument("--temperature", type=float, default=0.7)
    parser.add_argument("--width", type=int, default=4, help="of the trees of `peers`: steps drawn from a node")
    parser.add_argument("--iterations", type=int, default=3, help="of llm-reasoners")
    parser.add_argument("--parallel", type=int, default=4, help="visits at once of ponder's tree in `peers`")
    parser.add_argument("--step", type=int, default=100, help="tokens of a step in `peers`")
    parser.add_argument("--depth", type=int, default=16, help="steps of a reply in `peers`")
    parser.add_argument("--dtype", default="bfloat16", choices=["float32", "bfloat16", "float16", "auto"])
    parser.add_argument("--threads", type=int, default=1, help="of a folder's model")
    parser.add_argument("--think", default="<think>,</think>", help="marks of a server's model")
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "search", help="the results' folder")
    parser.add_argument("--write", metavar="MARK", help=f"write the tables between these marks of {PAGE.name}")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write what the tables show there too")
    options = parser.parse_args()
    options.parts, options.cores = options.parts.split(","), os.sched_getaffinity(0)
    options.think = options.think.split(",") if options.think else ("", "")
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
        PAGE.write_text(between(PAGE.read_text(encoding="utf-8"), options.write, shown), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
