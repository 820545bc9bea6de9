"""`ponder data fast_mcts`: right replies and pairs to train on, from questions whose answers are known."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar, Unpack, cast

import click

from ponder.cli.counted import counted
from ponder.cli.engines import EngineKwargs, engine_args, engine_options
from ponder.cli.options import json_option
from ponder.cli.output import console, print_json
from ponder.cli.ranges import AT_ONCE, MOST, Finite
from ponder.core.engine import Sampling
from ponder.core.errors import DataError, EngineError, OptionError
from ponder.core.judge import Verifier
from ponder.core.train import Row

if TYPE_CHECKING:
    from ponder.cli.engines import EngineArgs
    from ponder.train.data.fast_mcts import FastMcts, Judge
    from ponder.train.data.grow import Grown, Plan
    from ponder.train.loops.messages import Conversation

P = ParamSpec("P")
R = TypeVar("R")
_FILE = click.Path(path_type=Path, dir_okay=False)


class Options(EngineKwargs):
    """The options of trees, sampling and the engine as click hands them over."""

    rollouts: int
    tokens_each: int | None
    low: float
    high: float
    c: float
    plain: bool
    delimiter: str
    shots: int
    shots_from: Path | None
    keep: int | None
    cot: bool | None
    seed: int
    max_tokens: int
    temperature: float
    top_p: float
    top_k: int
    max_tokens_total: int | None
    seconds: float | None


_ROLLOUTS = (
    click.option("--rollouts", type=click.IntRange(1, 10_000), default=16, show_default=True, help="Of each question."),
    click.option("--tokens-each", type=click.IntRange(1, MOST), help="A question that took so many gets none more."),
    click.option("--low", type=Finite(0, 1), default=0.25, show_default=True, help="Branch where at most so many"),
    click.option(
        "--high", type=Finite(0, 1), default=0.75, show_default=True, help="or at least so many, not all, end right."
    ),
    click.option("--c", type=Finite(0), default=1.414, show_default=True, help="Weight of what is little explored."),
    click.option("--plain", is_flag=True, help="Begin every rollout anew: rejection sampling, to compare with."),
    click.option("--delimiter", default="\\n\\n", show_default=True, help="Ends a step; \\n is a new line."),
    click.option("--shots", type=click.IntRange(0, 64), default=0, help="Examples to show, drawn anew each time."),
    click.option("--shots-from", type=_FILE, metavar="FILE", help="Where from: JSON lines with messages."),
    click.option("--keep", type=click.IntRange(1, MOST), help="The most right replies of a question that are written."),
    click.option("--cot/--no-cot", default=None, help="Ask for steps. Default: where the model does not think."),
    click.option("--seed", type=int, default=0, show_default=True, help="Of the rollouts and where they branch."),
    click.option("--max-tokens", type=click.IntRange(1, MOST), default=512, show_default=True, help="Of a reply."),
    click.option("--temperature", type=Finite(0), default=0.8, show_default=True, help="Of the rollouts."),
    click.option("--top-p", type=Finite(0, 1), default=1.0, show_default=True),
    click.option("--top-k", type=click.IntRange(0, MOST), default=0, show_default=True),
    click.option("--max-tokens-total", type=click.IntRange(1), help="Stop before all questions took more than this."),
    click.option("--seconds", type=Finite(0, min_open=True), help="Stop after so long."),
)


def _rollouts(command: Callable[P, R]) -> Callable[P, R]:
    for option in reversed(_ROLLOUTS):
        command = option(command)
    return command


@click.command("fast_mcts")
@click.argument("task", metavar="TASK")
@click.option("--out", type=_FILE, required=True, metavar="FILE", help="Right replies, for `ponder train sft`.")
@click.option("--pairs", type=_FILE, metavar="FILE", help="A right and a wrong reply for each branching point.")
@engine_options
@_rollouts
@click.option("--limit", type=click.IntRange(1, MOST), help="Questions. Default: all; 1,000 of those without end.")
@click.option("--task-seed", type=int, default=1, show_default=True, help="Of generated questions; 0 is for tests.")
@click.option("--concurrency", type=click.IntRange(1, AT_ONCE), help="Questions at once. Default: as the engine can.")
@json_option
def fast_mcts(
    task: str,
    out: Path,
    pairs: Path | None,
    limit: int | None,
    task_seed: int,
    concurrency: int | None,
    as_json: bool,
    **options: Unpack[Options],
) -> None:
    r"""Make right replies to TASK, whose answers are known, from trees of rollouts.

    A question branches where its answer hangs in doubt, and every step of a rollout is kept, so that a right beginning
    is paid once. What tests ask is left out. FILE.questions.jsonl holds every question from the moment it is whole:
    the same command goes on where it stopped.

    Example: ponder data fast_mcts lab:modular:links=3-5 --model tiny-reasoner --delimiter '\n' --out right.jsonl
    """
    from ponder.train.data.grow import write
    from ponder.weights.staged import check_place

    journal = out.with_name(f"{out.name}.questions.jsonl")
    if pairs in (out, journal):
        raise OptionError(f"--pairs {pairs} is where other rows go; name another file")
    for path in () if journal.exists() else (out, pairs):
        if path is not None and path.exists():
            raise OptionError(f"{path} exists, and {journal}, which it would be made of, does not; name another file")
    if pairs is not None:
        check_place(pairs)
    rows, left_out, verifier = _questions(task, limit, task_seed)
    plan = _plan(task, task_seed, rows, verifier, journal, options)
    models = engine_args(concurrency, **_engine_of(options))
    outcome = _run(plan, models, concurrency)
    order = [row.problem.id for row in rows]
    write(journal, "paths", out, order)
    if pairs is not None:
        write(journal, "preferences", pairs, order)
    if as_json:
        print_json(summary(outcome, out, pairs, left_out))
    else:
        _tell(outcome, out, pairs, left_out)
    if outcome.stopped or outcome.failed:
        raise SystemExit(1)


def _questions(spec: str, limit: int | None, seed: int) -> tuple[list[Row], int, Verifier]:
    """Return the questions to train on, how many were left out because tests ask them, and who judges replies."""
    from ponder.train.data.held_out import asked_by_tests, training_rows, training_task

    task = training_task(spec, seed)
    found = list(training_rows(task, limit, asked_by_tests()))
    rows = [row for row in found if row is not None]
    if not rows:
        raise DataError(f"{spec} holds no question with an answer that no test asks; name a task that has some")
    return rows, len(found) - len(rows), task.verifier


def _builder(options: Options, pool: tuple[Conversation, ...], judge: Judge) -> FastMcts:
    from ponder.text.steps import plain
    from ponder.train.data.fast_mcts import FastMcts

    return FastMcts(
        judge,
        rollouts=options["rollouts"],
        tokens=options["tokens_each"],
        low=options["low"],
        high=options["high"],
        c=options["c"],
        plain=options["plain"],
        delimiter=plain(options["delimiter"]),
        shots=options["shots"],
        pool=pool,
        keep=options["keep"],
        seed=options["seed"],
        cot=options["cot"],
    )


def _plan(spec: str, seed: int, rows: Sequence[Row], verifier: Verifier, journal: Path, options: Options) -> Plan:
    """Return what to grow, and what makes two sessions one."""
    from ponder.train.data.grow import Plan
    from ponder.train.loops.messages import read_messages

    if bool(options["shots"]) != bool(options["shots_from"]):
        raise OptionError("--shots N and --shots-from FILE need each other; give both or neither")
    pool = read_messages(options["shots_from"]) if options["shots_from"] else None
    drawn = Sampling(
        max_tokens=options["max_tokens"],
        temperature=options["temperature"],
        top_p=options["top_p"],
        top_k=options["top_k"],
    )
    return Plan(
        rows,
        verifier,
        partial(_builder, options, pool.rows if pool else ()),
        drawn,
        journal,
        {"made_by": "ponder data fast_mcts", "schema": 1, "task": spec, "task_seed": seed,
         "shown": pool.sha256 if pool else ""},
        seed=options["seed"],
        max_tokens_total=options["max_tokens_total"],
        seconds=options["seconds"],
    )  # fmt: skip


def _run(plan: Plan, models: EngineArgs, concurrency: int | None) -> Grown:
    """Grow until done, or until Ctrl-C: what is whole is kept either way."""
    from ponder.train.data.grow import Grown

    outcome = Grown()
    try:
        asyncio.run(_grow(plan, models, concurrency, outcome))
    except KeyboardInterrupt:
        if not outcome.questions:
            raise
        outcome.stopped = "interrupted"
    if outcome.stopped and not outcome.done:
        raise EngineError(f"nothing could be made: {outcome.stopped}")
    return outcome


async def _grow(plan: Plan, models: EngineArgs, concurrency: int | None, outcome: Grown) -> None:
    from ponder.train.data.grow import grow

    async with models.open() as (engines, main):
        console(stderr=True).print(main.notice, style="dim", markup=False)
        with counted("questions") as done:
            plan = replace(plan, concurrency=concurrency or main.concurrency)
            await grow(plan, engines["main"], done, outcome)


def _engine_of(options: Options) -> EngineKwargs:
    own = EngineKwargs.__annotations__
    return cast(EngineKwargs, {key: value for key, value in options.items() if key in own})


def summary(outcome: Grown, out: Path, pairs: Path | None, left_out: int) -> dict[str, object]:
    """Return the object that `--json` prints; `docs/json.md` describes it."""
    files = {"file": str(out), "pairs_file": None if pairs is None else str(pairs)}
    return {"schema": 1, **files, "left_out": left_out, **asdict(outcome), "seconds": round(outcome.seconds, 3)}


def _tell(outcome: Grown, out: Path, pairs: Path | None, left_out: int) -> None:
    """Say what was found, what it took, and why it is not whole."""
    where = console()

    def say(text: str, style: str = "") -> None:
        where.print(text, style=style, soft_wrap=True, markup=False, highlight=not style)

    say(f"{out}: {outcome.right:,} right replies to {outcome.solved:,} of {outcome.done:,} questions")
    if pairs is not None:
        say(f"{pairs}: {outcome.pairs:,} pairs")
    rate = 1000 * outcome.right / max(1, outcome.tokens)
    say(f"{outcome.rollouts:,} rollouts, {outcome.tokens:,} generated tokens, {rate:.2f} right replies per 1,000")
    if left_out:
        say(f"{left_out:,} questions were left out: tests ask them", "yellow")
    if outcome.stopped:
        say(f"Stopped: {outcome.stopped}. What is done is kept; the same command goes on.", "yellow")
    elif outcome.failed:
        error = outcome.last_error
        say(f"{outcome.failed} questions failed, the last one with: {error}. The same command tries again.", "yellow")
