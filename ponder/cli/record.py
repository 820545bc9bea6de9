"""`ponder record`: full replies with answers asked on the side, from which every stop rule can be tried for nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

import click

from ponder.bench.results import SCHEMA
from ponder.cli.counted import counted
from ponder.cli.engines import EngineKwargs, engine_args, engine_options
from ponder.cli.options import json_option
from ponder.cli.output import console, print_json
from ponder.cli.ranges import AT_ONCE, MOST, Finite
from ponder.core.engine import Sampling
from ponder.core.errors import EngineError
from ponder.core.judge import Item, Scorer, Task

if TYPE_CHECKING:
    from ponder.bench.record import Oracle
    from ponder.bench.recording import Recorded, RecordPlan
    from ponder.cli.engines import EngineArgs


@click.command()
@click.argument("task", metavar="TASK")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    required=True,
    metavar="FILE",
    help="A .jsonl or .jsonl.gz file; one that is there goes on.",
)
@engine_options
@click.option("--samples", type=click.IntRange(1, MOST), default=1, show_default=True, help="Replies to each question.")
@click.option("--every", type=click.IntRange(1, MOST), default=64, show_default=True, help="Tokens between two probes.")
@click.option(
    "--at-words", metavar="WORD[,WORD...]", help="Ask before each of these words of a thought, too: Wait,Alternatively."
)
@click.option(
    "--probe",
    "probes",
    multiple=True,
    metavar="NAME[=TEXT]",
    help="What to ask with: close, sentence, or a text of your own. The first one is what a replay takes.",
)
@click.option("--probe-tokens", type=click.IntRange(1, MOST), default=20, show_default=True, help="Of one probe.")
@click.option(
    "--scorer",
    "scorers",
    multiple=True,
    metavar="NAME",
    help="Note how good each reply is, too. Repeatable.",
)
@click.option("--limit", type=click.IntRange(1, MOST), help="Questions. Default: all; 1,000 of those without end.")
@click.option("--task-seed", type=int, default=0, show_default=True, help="Of generated questions.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the replies.")
@click.option(
    "--max-tokens", type=click.IntRange(1, MOST), default=512, show_default=True, help="New tokens of a reply."
)
@click.option("--temperature", type=Finite(0), help="Of the replies. Default: 0, or 0.7 for several samples.")
@click.option("--top-p", type=Finite(0, 1), default=1.0, show_default=True)
@click.option("--top-k", type=click.IntRange(0, MOST), default=0, show_default=True)
@click.option("--seconds", type=Finite(0, min_open=True), help="Stop after so long.")
@click.option("--concurrency", type=click.IntRange(1, AT_ONCE), help="Replies at once. Default: what the engine takes.")
@click.option("--max-tokens-total", type=click.IntRange(1), help="Stop before the file took more than this.")
@json_option
def record(
    task: str,
    out: Path,
    samples: int,
    every: int,
    at_words: str | None,
    probes: tuple[str, ...],
    probe_tokens: int,
    scorers: tuple[str, ...],
    limit: int | None,
    task_seed: int,
    seed: int,
    max_tokens: int,
    temperature: float | None,
    top_p: float,
    top_k: int,
    seconds: float | None,
    concurrency: int | None,
    max_tokens_total: int | None,
    as_json: bool,
    **engine: Unpack[EngineKwargs],
) -> None:
    """Record full replies to TASK, and what each would have answered had it been stopped on the way.

    `ponder replay --along FILE` then tries every rule that stops a thought early, at every threshold, without a model.
    A question is written down the moment it is whole: the same command goes on where it stopped.

    Example: ponder record lab:addition --model tiny-reasoner --every 16 --limit 200 --out addition.jsonl.gz
    """
    from ponder.bench.record import Grid
    from ponder.bench.recording import RecordPlan
    from ponder.tasks import load_task

    heat = temperature if temperature is not None else (0.7 if samples > 1 else 0.0)
    words = tuple(filter(None, (at_words or "").split(",")))
    loaded = load_task(task, seed=task_seed)
    plan = RecordPlan(
        task=loaded,
        path=out,
        grid=Grid(every, {}, words, probe_tokens, oracle_of(loaded, limit), scorers_of(scorers)),
        sampling=Sampling(max_tokens=max_tokens, temperature=heat, top_p=top_p, top_k=top_k),
        samples=samples,
        seed=seed,
        limit=limit,
        max_tokens_total=max_tokens_total,
        seconds=seconds,
    )
    outcome = _run(plan, engine_args(concurrency, **engine), probes, concurrency)
    if as_json:
        print_json(record_json(out, outcome))
    else:
        _tell(out, outcome)
    if outcome.failed or outcome.stopped:
        raise SystemExit(1)


def _run(plan: RecordPlan, models: EngineArgs, probes: tuple[str, ...], concurrency: int | None) -> Recorded:
    """Record until done, or until Ctrl-C: what is whole is kept either way."""
    from ponder.bench.recording import Recorded

    outcome = Recorded()
    try:
        asyncio.run(_record(plan, models, probes, concurrency, outcome))
    except KeyboardInterrupt:
        if not outcome.questions:
            raise
        outcome.stopped = "interrupted"
    if outcome.stopped and not (outcome.done or outcome.kept):
        raise EngineError(f"nothing could be recorded: {outcome.stopped}")
    return outcome


async def _record(
    plan: RecordPlan, models: EngineArgs, probes: tuple[str, ...], concurrency: int | None, outcome: Recorded
) -> None:
    from ponder.bench.probing import probe_texts
    from ponder.bench.recording import record as run_recording

    async with models.open() as (engines, main):
        console(stderr=True).print(main.notice, style="dim", markup=False)
        engine = engines["main"]
        grid = replace(plan.grid, texts=probe_texts(probes, engine.think))
        plan = replace(plan, grid=grid, concurrency=concurrency or main.concurrency)
        with counted("recording") as done:
            await run_recording(plan, engine, done, outcome)


def scorers_of(names: Sequence[str]) -> dict[str, Scorer]:
    """Return scorers with their default options, by name. Raises `OptionError` for one that is not known."""
    from ponder.scorers import find_scorer

    return {name: find_scorer(name)() for name in names}


def oracle_of(task: Task, limit: int | None) -> Oracle | None:
    """Return what knows where a thought first derives the answer: for `arithmetic` and the training lab's families."""
    from ponder.tasks.arithmetic import Arithmetic
    from ponder.tasks.lab import Lab
    from ponder.train.lab.arithmetic import ArithmeticFamily
    from ponder.train.lab.oracle import exit_of
    from ponder.train.lab.rows import HELD_OUT, fresh

    if isinstance(task, Arithmetic):
        made = ArithmeticFamily(task.level, task.language, task.seed).puzzles(limit or HELD_OUT)
    elif isinstance(task, Lab):
        made = islice(fresh(task.family), limit or HELD_OUT)
    else:
        return None
    puzzles = {puzzle.item.problem.id: puzzle for puzzle in made}

    def oracle(item: Item, thinking: str) -> int | None:
        return exit_of(thinking, puzzles[item.problem.id])

    return oracle


def record_json(path: Path, outcome: Recorded) -> dict[str, object]:
    """Return the object that `--json` prints; `docs/json.md` describes it."""
    return {
        "schema": SCHEMA,
        "file": str(path),
        "questions": outcome.questions,
        "kept": outcome.kept,
        "done": outcome.done,
        "failed": outcome.failed,
        "stopped": outcome.stopped,
        "samples": outcome.samples,
        "probes": outcome.probes,
        "tokens": sum(outcome.bill.values()),
        "tokens_by_role": dict(outcome.bill),
        "spent": outcome.spent,
        "prompt_tokens": outcome.prompt_tokens,
        "cached_tokens": outcome.cached_tokens,
        "seconds": round(outcome.seconds, 3),
    }


def _tell(path: Path, outcome: Recorded) -> None:
    """Say what the file holds, what it took, and why it is not whole."""
    out = console()
    whole = outcome.kept + outcome.done
    out.print(
        f"{path}: {whole:,} of {outcome.questions:,} questions, {outcome.samples:,} replies, {outcome.probes:,} probes",
        soft_wrap=True, markup=False,
    )  # fmt: skip
    roles = ", ".join(f"{role} {tokens:,}" for role, tokens in outcome.bill.items())
    out.print(f"{sum(outcome.bill.values()):,} tokens: {roles}", markup=False)
    if outcome.stopped:
        text = f"Stopped: {outcome.stopped}. What is recorded is kept; the same command goes on."
        out.print(text, style="yellow", markup=False)
    elif outcome.failed:
        text = (
            f"{outcome.failed} questions failed, the last one with: {outcome.last_error}. The same command tries again."
        )
        out.print(text, style="yellow", markup=False)
