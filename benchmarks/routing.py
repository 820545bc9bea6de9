"""The study of routing: cascades and routes, short against long and small against large, beside mixtures by chance.

    python benchmarks/routing.py [--only tiny] [--write | --check] [--out FOLDER] [--threads 1] [--models SMALL,LARGE]

Every question is answered in each of four ways: by the small and by the large model, short and long, greedily. Every
answer of the small model is scored by each measure of certainty. That is recorded question by question, in numbers
alone, and the same command goes on where it stopped. What any cascade or route does at any threshold follows from it,
since greedy answers do not depend on who asked before. `--live` runs cascades and routes themselves on some questions
and fails where one differs from what was derived. With `--write` the recording is kept in `docs/studies/routing`, and
the page is written from nothing but that; `--check` compares the page and runs no model.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from itertools import zip_longest
from math import inf, isfinite
from pathlib import Path
from typing import Any

from routing_rules import Answers, Scored, page_part
from small_models import between, task_of

from ponder.core.engine import Engine, Sampling
from ponder.core.judge import Item, Scorer, Task
from ponder.core.method import Method, Solution
from ponder.core.run import Run
from ponder.engines.open import EngineOptions, open_engine
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.route.cascade import Cascade
from ponder.methods.route.routellm import RouteLLM
from ponder.methods.route.thinking_route import ThinkingRoute
from ponder.methods.stop.thinking_mode import ThinkingMode
from ponder.methods.vote.sample import Sample
from ponder.routers.random import RandomRouter
from ponder.scorers.agreement import Agreement
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.scorers.random_control import RandomControl
from ponder.scorers.verifier_prompt import VerifierPrompt
from ponder.steer.draw import Draw, draw
from ponder.steer.elect import able
from ponder.steer.score import scored
from ponder.tasks.table import load_task
from ponder.train.base.recipe import FAMILIES
from ponder.verify import VerifierPool

ROOT = Path(__file__).resolve().parent.parent
STUDY = ROOT / "docs" / "studies" / "routing"
SCORERS: Mapping[str, Scorer] = {
    "mean_logprob": MeanLogprob(),
    "verifier_prompt": VerifierPrompt(),
    "random_control": RandomControl(),
}
SAMPLES = 3
"""Whose agreement is looked at."""
AT_ONCE = 8
LIVE, THRESHOLDS = 6, (-0.02, -0.1)
"""Questions of each task that cascades and routes are run on, and the cascades' thresholds."""
METHODS = ROOT / "docs" / "methods"
METHOD_PAGES: Mapping[str, tuple[tuple[str, ...], str]] = {
    "cascade": (("cascade",), "-o rungs=sample,sample -o on=main,strong -o thresholds=-0.02"),
    "thinking_route": (("route small-short", "route large-short"), "-o router=random"),
    "routellm": (("route small-long or large-long",), "-o router=random"),
    "confident_or_seek_stronger": ((), "-o weak=sample -o strong=sample -o strong_on=strong -o threshold=-0.02"),
}
"""Method to the rows that its page shows, and what a live run is told."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Two models of one kind: what they are asked, how long a reply may be, and how each answers short and long.

    `weights` are the models' sizes in millions: a token costs as many.
    """

    name: str
    models: tuple[str, str]
    weights: tuple[float, float]
    tasks: tuple[str, ...]
    questions: int
    tokens: int
    short: Method
    long: Method


SUBJECTS = (
    Subject(
        "tiny",
        ("tiny-reasoner-small", "tiny-reasoner"),
        (0.574, 0.886),
        tuple(map(task_of, FAMILIES)),
        120,
        512,
        ThinkingMode("off"),
        ThinkingMode("on"),
    ),
    Subject(
        "qwen",
        ("qwen2.5-coder-0.5b-instruct", "qwen2.5-coder-1.5b-instruct"),
        (494.0, 1543.7),
        ("gsm8k", "svamp"),
        38,
        512,
        NoThinking(),
        Sample(),
    ),
)
SIDES = ("small-short", "small-long", "large-short", "large-long")


def method_of(subject: Subject, side: str) -> Method:
    """Return the method of a side; the engine is named apart."""
    return subject.short if side.endswith("short") else subject.long


def run_of(subject: Subject, engines: Mapping[str, Engine], task: Task) -> Run:
    """Return a greedy run that reads and compares answers as the task does."""
    verifier = task.verifier
    sampling = Sampling(max_tokens=subject.tokens, temperature=0.0)
    return Run(engines, sampling=sampling, extract=verifier.extract, same=verifier.same)


async def answered(
    subject: Subject, engines: Mapping[str, Engine], task: Task, item: Item, pool: VerifierPool
) -> dict[str, Any]:
    """Return one line of the recording."""
    run, problem = run_of(subject, engines, task), item.problem
    line: dict[str, Any] = {"task": task.name, "id": problem.id, "sides": {}, "scores": {}, "agreement": {}}

    async def right(sample: Draw) -> bool:
        return (await pool.judge(task.verifier, sample.solution.answer, item.reference)).correct is True

    for place, side in enumerate(SIDES):
        view = run.on("main" if side.startswith("small") else "strong").quiet(place)
        sample = await draw(method_of(subject, side), problem, view, 0, n=1, asks={"logprobs": 1})
        cut = sample.solution.finish == "length"
        line["sides"][side] = {"right": await right(sample), "tokens": sample.call.tokens, "cut": cut}
        if side.startswith("large"):
            continue
        line["scores"][side] = {}
        for number, (name, scorer) in enumerate(SCORERS.items(), 1):
            before, value = run.trace.tokens, -inf
            if able([sample]) and sample.whole:
                (value,) = await scored(scorer, problem, [sample], view.quiet(number), "value") or [-inf]
            line["scores"][side][name] = [value if isfinite(value) else None, run.trace.tokens - before]
        line["agreement"][side] = await agreed(subject, side, problem=item, view=view.quiet(9), right=right)
    return line


async def agreed(subject: Subject, side: str, *, problem: Item, view: Run, right: Any) -> dict[str, Any]:
    """Return what several samples of a side come to: the best of them, how many agree with it, and all their tokens."""
    method, before = method_of(subject, side), view.trace.tokens
    samples = [await draw(method, problem.problem, view, i, n=SAMPLES) for i in range(SAMPLES)]
    rivals = able(samples)
    if not rivals or not rivals[0].whole:
        return {"right": await right(samples[0]), "tokens": view.trace.tokens - before, "score": None}
    values = await scored(Agreement(), problem.problem, rivals, view, "value") or []
    best = max(range(len(rivals)), key=values.__getitem__)
    return {"right": await right(rivals[best]), "tokens": view.trace.tokens - before, "score": values[best]}


async def record(subject: Subject, path: Path, threads: int, at_once: int) -> None:
    """Record what is missing, so many questions at once; a line is written as its question ends."""
    path.parent.mkdir(parents=True, exist_ok=True)
    done = {(row["task"], row["id"]) for row in read(path)}
    # The tasks take turns, so that a recording that was stopped is of all of them.
    asked = [[(task, item) for item in task.items(subject.questions)] for task in map(load_task, subject.tasks)]
    todo = [
        (task, item)
        for turn in zip_longest(*asked)
        for task, item in filter(None, turn)
        if (task.name, item.problem.id) not in done
    ]
    if not todo:
        return
    async with AsyncExitStack() as stack:
        engines = await opened(stack, subject, threads)
        pool = await stack.enter_async_context(VerifierPool())
        gate = asyncio.Semaphore(at_once)
        count = 0
        with path.open("a", encoding="utf-8") as file:

            async def one(task: Task, item: Item) -> None:
                nonlocal count
                async with gate:
                    line = await answered(subject, engines, task, item, pool)
                file.write(json.dumps(line) + "\n")
                file.flush()
                count += 1
                if count % 50 == 0:
                    print(f"{subject.name}: {count} of {len(todo)}", file=sys.stderr)

            await asyncio.gather(*(one(task, item) for task, item in todo))


async def opened(stack: AsyncExitStack, subject: Subject, threads: int) -> dict[str, Engine]:
    """Open both models."""
    options = EngineOptions(threads=threads, context=4096)
    names = zip(("main", "strong"), subject.models, strict=True)
    return {name: (await stack.enter_async_context(open_engine(spec, options))).engine for name, spec in names}


def read(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the lines of a recording, plain or packed; a last line that was cut is left out."""
    packed = path.with_suffix(".jsonl.gz")
    if packed.exists():
        with gzip.open(packed, "rt", encoding="utf-8") as file:
            yield from map(json.loads, file)
    if path.exists():
        for line in path.read_text("utf-8").splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)


def pack(path: Path) -> None:
    """Put a recording, in the order of its tasks and questions, into one packed file."""
    rows = sorted(read(path), key=lambda row: (row["task"], row["id"]))
    with gzip.GzipFile(path.with_suffix(".jsonl.gz"), "wb", mtime=0) as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows).encode())
    path.unlink(missing_ok=True)


def gathered(subject: Subject, rows: Sequence[Mapping[str, Any]]) -> Answers:
    """Return the recording as the rules take it, with the questions' texts, which are made or read anew."""
    texts = {
        (task.name, item.problem.id): item.problem.question
        for task in map(load_task, subject.tasks)
        for item in task.items(subject.questions)
    }
    known = [row for row in rows if (row["task"], row["id"]) in texts]
    price = {"small": subject.weights[0] / subject.weights[1], "large": 1.0}
    sides = {
        side: Scored(
            [float(row["sides"][side]["right"]) for row in known],
            [row["sides"][side]["tokens"] * price[side.partition("-")[0]] for row in known],
        )
        for side in SIDES
    }
    scores: dict[str, dict[str, Scored]] = {}
    for side in SIDES[:2]:
        base, unit = sides[side], price[side.partition("-")[0]]
        scores[side] = {
            name: replace(
                base,
                cost=[c + row["scores"][side][name][1] * unit for c, row in zip(base.cost, known, strict=True)],
                score=[_number(row["scores"][side][name][0]) for row in known],
            )
            for name in SCORERS
        }
        scores[side][f"agreement of {SAMPLES}"] = Scored(
            [float(row["agreement"][side]["right"]) for row in known],
            [row["agreement"][side]["tokens"] * unit for row in known],
            [_number(row["agreement"][side]["score"]) for row in known],
        )
    for side, found in probed(subject, [(row["task"], row["id"]) for row in known], price).items():
        scores[side] |= found
    return Answers([texts[row["task"], row["id"]] for row in known], [row["task"] for row in known], sides, scores)


def probed(
    subject: Subject, keys: Sequence[tuple[str, str]], price: Mapping[str, float]
) -> dict[str, dict[str, Scored]]:
    """Return what trained probes say, where `routing_probe.py` recorded that: of answers of an engine of its own."""
    lines = {(row["task"], row["id"]): row["sides"] for row in read(STUDY / f"{subject.name}-probe.jsonl")}
    if not lines:
        return {}
    found: dict[str, dict[str, Scored]] = {}
    for side in SIDES[:2]:
        told, unit = [lines[key][side] for key in keys], price[side.partition("-")[0]]
        right, cost = [float(one["right"]) for one in told], [one["tokens"] * unit for one in told]
        found[side] = {
            name: Scored(right, cost, [_number(one["scores"][name]) for one in told]) for name in told[0]["scores"]
        }
    return found


def _number(value: float | None) -> float:
    return -inf if value is None else value


async def live(subject: Subject, path: Path, threads: int) -> int:
    """Run cascades and routes themselves, and return in how many one differs from what the recording says of it."""
    rows = {(row["task"], row["id"]): row for row in read(path)}
    differ = asked = 0
    async with AsyncExitStack() as stack:
        engines = await opened(stack, subject, threads)
        pool = await stack.enter_async_context(VerifierPool())
        for task in map(load_task, subject.tasks):
            for item in task.items(LIVE):
                for method in (*map(partial(_cascade, subject), THRESHOLDS), *_routes(subject)):
                    run = run_of(subject, engines, task)
                    solution = await method.solve(item.problem, run)
                    verdict = await pool.judge(task.verifier, solution.answer, item.reference)
                    wanted = _foretold(rows[task.name, item.problem.id], method, solution)
                    asked += 1
                    differ += ((verdict.correct is True), run.trace.tokens) != wanted
    print(f"{subject.name}: {asked} live cascades and routes, {differ} differ from the recording")
    return differ


def _cascade(subject: Subject, threshold: float) -> Cascade:
    return Cascade((subject.long, subject.long), ("main", "strong"), thresholds=(threshold,))


def _routes(subject: Subject) -> list[Method]:
    """Return routes by a router that knows nothing: between the models, and between the modes of one that has them."""
    between = RouteLLM(RandomRouter(), 0.5, subject.long, strong=subject.long)
    modes = subject.long == ThinkingMode("on")
    return [between, ThinkingRoute(RandomRouter(), 0.5)] if modes else [between]


def _foretold(row: Mapping[str, Any], method: Method, solution: Solution) -> tuple[bool, int]:
    """Return whether the answer is right and what it costs, by the recording."""
    sides, route = row["sides"], solution.evidence["route"]
    if isinstance(method, Cascade):
        score, tokens = row["scores"]["small-long"]["mean_logprob"]
        first, last = sides["small-long"], sides["large-long"]
        sure = score is not None and score >= method.thresholds[0]
        return (first if sure else last)["right"], first["tokens"] + tokens + (not sure) * last["tokens"]
    names = {"weak": "small-long", "strong": "large-long", "off": "small-short", "on": "small-long"}
    side = sides[names[str(route)]]
    return side["right"], side["tokens"]


def method_results(part: str, method: str) -> str:
    """Return what a method's own page shows of the tiny reasoners: its rows, and the commands."""
    rows = part.splitlines()
    wanted, options = METHOD_PAGES[method]
    shown = [row for row in rows if row.startswith(("| rule |", *(f"| {one}" for one in wanted)))]
    if method == "confident_or_seek_stronger":
        start = next(place for place, row in enumerate(rows) if row.startswith("| task |"))
        shown = rows[start:]
    else:
        shown.insert(1, "|---|---:|---:|---:|---:|---:|")
    models = "--model tiny-reasoner-small --engine strong=tiny-reasoner"
    return (
        "The tiny reasoners, from the [study of routing](../studies/routing.md), which says what the columns are:\n\n"
        f"```sh\npython benchmarks/routing.py --only tiny --write\n```\n\n{chr(10).join(shown)}\n\n"
        f"A live run:\n\n```sh\nponder bench lab:addition {models} --methods sample,{method} {options}\n```\n"
    )


def pages(texts: Mapping[Path, str], subject: Subject, part: str) -> dict[Path, str]:
    """Return the pages that show a part of the study, with it in place."""
    found = {STUDY.with_suffix(".md"): between(texts[STUDY.with_suffix(".md")], subject.name, part)}
    if subject.name == "tiny":
        for method in METHOD_PAGES:
            path = METHODS / f"{method}.md"
            found[path] = between(texts[path], "results", method_results(part, method))
    return found


def main() -> int:
    """Record, write the page, or check it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "routing", help="the recordings' folder")
    parser.add_argument("--only", action="append", choices=[one.name for one in SUBJECTS], help="one part only")
    parser.add_argument("--threads", type=int, default=1, help="of each model")
    parser.add_argument("--models", help="SMALL,LARGE: where else the models of one part are, as `--model` takes them")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, help="questions")
    parser.add_argument("--live", action="store_true", help="run cascades, too, and compare")
    parser.add_argument("--write", action="store_true", help=f"record into {STUDY.relative_to(ROOT)}, write the page")
    parser.add_argument("--check", action="store_true", help="fail if the page does not show the committed recordings")
    args = parser.parse_args()
    kept = args.write or args.check
    folder = STUDY if kept else args.out
    paths = [STUDY.with_suffix(".md"), *(METHODS / f"{method}.md" for method in METHOD_PAGES)]
    old = {path: path.read_text(encoding="utf-8") for path in paths if kept}
    new = dict(old)
    for subject in [one for one in SUBJECTS if not args.only or one.name in args.only]:
        if args.models:
            small, _, large = args.models.partition(",")
            subject = replace(subject, models=(small, large))
        path = folder / f"{subject.name}.jsonl"
        if not args.check:
            asyncio.run(record(subject, path, args.threads, args.at_once))
        if args.live and asyncio.run(live(subject, path, args.threads)):
            return 1
        if args.write:
            pack(path)
        rows = sorted(read(path), key=lambda row: (row["task"], row["id"]))
        if args.check and not rows:
            continue
        part = page_part(gathered(subject, rows))
        if kept:
            new |= pages(new, subject, part)
        else:
            print(f"\n{subject.name}\n\n{part}")
    stale = [path for path in old if old[path] != new[path]]
    for path in stale:
        if args.write:
            path.write_text(new[path], encoding="utf-8")
        else:
            print(f"{path.relative_to(ROOT)} does not show the recordings in {STUDY.relative_to(ROOT)}")
    return 1 if args.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
