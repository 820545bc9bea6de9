"""`ponder bench`: compare methods on a benchmark."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Unpack

import click

from ponder.bench.pool import EVEN, POOL, Pool, pool_methods, run_pool
from ponder.bench.prices import Price, read_price
from ponder.bench.results import RunInfo, pick_baseline
from ponder.bench.runner import Outcome, Plan, run_plan
from ponder.bench.session import (
    FILE,
    Identity,
    default_folder,
    folders,
    forecast_plan,
    prepare,
    remember,
    sampling_config,
)
from ponder.bench.specs import build_methods, check_limits, split_specs
from ponder.bench.store import Store
from ponder.cli.complexity import check_kind
from ponder.cli.engines import EngineArgs, EngineKwargs, engine_args, engine_options
from ponder.cli.finish import finish_run
from ponder.cli.options import (
    baseline_option,
    beside_option,
    json_option,
    kind_option,
    margin_option,
    plugin_option,
    price_option,
)
from ponder.cli.output import console
from ponder.cli.progress import BenchProgress
from ponder.cli.ranges import AT_ONCE, MOST, Finite
from ponder.core.engine import Sampling
from ponder.core.errors import DataError, EngineError, OptionError
from ponder.core.judge import Task
from ponder.core.method import Method
from ponder.methods import Catalogue, catalogue


@dataclass(frozen=True, slots=True)
class BenchArgs:
    """What the command was told, parsed."""

    tasks: list[Task]
    methods: dict[str, Method]
    table: Catalogue
    models: EngineArgs
    sampling: Sampling
    folder: Path
    limit: int | None
    seeds: int
    concurrency: int | None
    max_tokens_total: int | None
    max_cost: float | None
    price: Price | None
    seconds: float | None
    quiet: bool
    pool: Pool | None = None

    @property
    def shown(self) -> list[str]:
        """The labels of the rows to show."""
        return [EVEN, POOL] if self.pool else list(self.methods)


@click.command()
@click.argument("tasks", metavar="TASK[,TASK...]")
@click.option(
    "--methods",
    "method_list",
    default="sample,concise_cot,chain_of_draft,no_thinking",
    show_default=True,
    help="Methods, options after a colon: sample,self_consistency:n=8.",
)
@click.option("-o", "options", multiple=True, metavar="KEY=VALUE", help="An option for every method that has it.")
@engine_options
@click.option(
    "--limit", type=click.IntRange(1, MOST), help="Questions of each task. Default: all; 1,000 of those without end."
)
@click.option("--seeds", type=click.IntRange(1, MOST), default=1, show_default=True, help="Attempts at each question.")
@click.option("--task-seed", type=int, default=0, show_default=True, help="Of generated questions.")
@click.option(
    "--max-tokens", type=click.IntRange(1, MOST), default=512, show_default=True, help="New tokens of a reply."
)
@click.option("--temperature", type=Finite(0), help="Default: 0, or 0.7 with several seeds.")
@click.option("--top-p", type=Finite(0, 1), default=1.0, show_default=True)
@click.option("--top-k", type=click.IntRange(0, MOST), default=0, show_default=True)
@click.option("--seconds", type=Finite(0, min_open=True), help="Time limit of one attempt.")
@click.option(
    "--concurrency", type=click.IntRange(1, AT_ONCE), help="Attempts at once. Default: what the engine takes."
)
@click.option("--max-tokens-total", type=click.IntRange(1), help="Stop before the run generates more than this.")
@click.option(
    "--token-pool",
    type=click.IntRange(1),
    metavar="TOKENS",
    help="Share one pool out among the questions of a task, more to the uncertain ones, and beside it evenly.",
)
@click.option(
    "--pool-start", type=click.IntRange(1, MOST), default=5, show_default=True, help="Samples of each question."
)
@click.option("--pool-certain", type=Finite(0, 1), default=0.85, show_default=True, help="Certaindex that is enough.")
@click.option(
    "--pool-cap", type=click.IntRange(1, MOST), default=40, show_default=True, help="Most samples of a question."
)
@click.option("--max-cost", type=Finite(0), help="Stop before the run costs more; needs --price.")
@price_option
@baseline_option
@margin_option
@beside_option
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of the run; a run that is there goes on. Default: runs/TASK-MODEL.",
)
@plugin_option
@kind_option
@click.option("--no-report", is_flag=True, help="Do not write report.html and plots.")
@json_option
@click.option("--quiet", "-q", is_flag=True, help="No progress bar.")
def bench(
    tasks: str,
    method_list: str,
    options: tuple[str, ...],
    limit: int | None,
    seeds: int,
    task_seed: int,
    max_tokens: int,
    temperature: float | None,
    top_p: float,
    top_k: int,
    seconds: float | None,
    concurrency: int | None,
    max_tokens_total: int | None,
    token_pool: int | None,
    pool_start: int,
    pool_certain: float,
    pool_cap: int,
    max_cost: float | None,
    price_spec: str | None,
    baseline: str | None,
    margin: float,
    beside: tuple[Path, ...],
    out: Path | None,
    plugin: tuple[Path, ...],
    kind: str | None,
    no_report: bool,
    as_json: bool,
    quiet: bool,
    **engine: Unpack[EngineKwargs],
) -> None:
    """Run TASK through several methods and tell, with intervals, what each saves and what it costs.

    Every finished question is kept: the same command goes on, and may ask for more. See `ponder tasks`, `methods`.

    Example: ponder bench gsm8k --methods sample,chain_of_draft --limit 100
    """
    models = engine_args(concurrency, **engine)
    table = catalogue(plugin)
    pool = None if token_pool is None else Pool(token_pool, pool_start, pool_certain, pool_cap)
    methods = build_methods(method_list, table, options) if pool is None else pool_methods(_given())
    _check(methods, max_tokens, baseline, beside, kind)
    args = BenchArgs(
        tasks=_load_tasks(tasks, task_seed),
        methods=methods,
        table=table,
        models=models,
        sampling=Sampling(max_tokens, _heat(temperature, seeds > 1 or pool is not None), top_p, top_k),
        folder=out or default_folder(f"{tasks}-pool" if pool else tasks, models.model or "default"),
        limit=limit,
        seeds=seeds,
        concurrency=concurrency,
        max_tokens_total=max_tokens_total,
        max_cost=max_cost,
        price=_price(price_spec, models.model or "", max_cost),
        seconds=seconds,
        quiet=quiet or as_json,
        pool=pool,
    )
    _run_and_tell(args, baseline, margin, beside, kind, not no_report, as_json)


def _heat(given: float | None, several: bool) -> float:
    """Return the temperature: as given, else greedy, unless several replies to a question would be equal."""
    return given if given is not None else 0.7 if several else 0.0


def _price(spec: str | None, model: str, max_cost: float | None) -> Price | None:
    """Read the price. Raises `OptionError` where a limit in money has none to count by."""
    if max_cost is not None and spec is None:
        raise OptionError("--max-cost needs a price; add --price in=...,out=... (per million tokens)")
    return read_price(spec, model) if spec else None


def _given() -> dict[str, bool]:
    """Return which of the options that a pool has no use for are given."""
    names = {
        "--methods": "method_list",
        "-o": "options",
        "--seeds": "seeds",
        "--max-tokens-total": "max_tokens_total",
        "--baseline": "baseline",
    }
    context, default = click.get_current_context(), click.core.ParameterSource.DEFAULT
    return {option: context.get_parameter_source(name) is not default for option, name in names.items()}


def _run_and_tell(
    args: BenchArgs,
    baseline: str | None,
    margin: float,
    beside: tuple[Path, ...],
    kind: str | None,
    report: bool,
    as_json: bool,
) -> None:
    """Run, then print and write what came out; end with a code where it is not whole."""
    with Store(args.folder / FILE) as store:
        outcome = _run(args, store)
        info = RunInfo.read(store)
        finish_run(
            store, info, outcome,
            only=args.shown, tasks=[task.name for task in args.tasks], baseline=baseline, margin=margin,
            price=args.price, beside=beside, kind=kind, report=report, as_json=as_json,
        )  # fmt: skip
    if outcome.failed or outcome.stopped:
        raise SystemExit(1)


def _load_tasks(listed: str, seed: int) -> list[Task]:
    """Return the tasks of a list. Raises `OptionError` for an empty one, and for one that names a task twice."""
    from ponder.tasks import load_task

    specs = split_specs(listed)
    if not specs:
        raise OptionError("no task is named; `ponder tasks` lists them")
    repeated = next((spec for spec in specs if specs.count(spec) > 1), None)
    if repeated is not None:
        raise OptionError(f"{repeated} is in the list of tasks twice; name each once, and ask for more with --seeds")
    return [load_task(spec, seed=seed) for spec in specs]


def _check(
    methods: dict[str, Method], max_tokens: int, baseline: str | None, beside: tuple[Path, ...], kind: str | None
) -> None:
    """Refuse limits that no reply can keep, and a comparison with what is not there, before the run."""
    check_limits(methods, max_tokens)
    pick_baseline(list(methods), baseline)
    check_kind(kind, list(methods))
    for path in folders(beside):
        Store(path, write=False).close()


def _run(args: BenchArgs, store: Store) -> Outcome:
    """Run until done, or until Ctrl-C: what is finished is kept either way."""
    outcome = Outcome()
    try:
        return asyncio.run(_bench(args, store, outcome))
    except KeyboardInterrupt:
        if store.meta("spec") is None:
            raise
        outcome.stopped = "interrupted"
        return outcome


async def _bench(args: BenchArgs, store: Store, outcome: Outcome) -> Outcome:
    from ponder.bench.forecast import History

    err = console(stderr=True)
    async with args.models.open() as (engines, main):
        err.print(main.notice, style="dim", markup=False)
        plan = Plan(
            tasks=args.tasks,
            methods=args.methods,
            engines=engines,
            sampling=args.sampling,
            limit=args.limit,
            seeds=args.seeds,
            concurrency=args.concurrency or main.concurrency,
            max_tokens_total=args.max_tokens_total,
            max_cost=args.max_cost,
            price=args.price,
            seconds=args.seconds,
        )
        counts = plan.count()
        for name, count in counts.items():
            if not count:
                raise DataError(f"{name} holds no question; name a task that has some")
        names = {name: one.name for name, one in engines.items() if name != "main"}
        identity = Identity(main.engine.name, names, sampling_config(args.sampling), args.seconds, main.weak)
        prepare(store, identity, args.methods, args.table)
        if args.pool is not None:
            with BenchProgress(sum(counts.values()) * args.pool.start, quiet=args.quiet) as progress:
                return await run_pool(plan, args.pool, store, progress.done, outcome)
        history = History()
        if not args.quiet:
            err.print(forecast_plan(plan, store, counts, identity.model, history).sentence(args.price), style="dim")
        total = sum(counts.values()) * args.seeds * len(args.methods)
        with BenchProgress(total, quiet=args.quiet) as progress:
            await run_plan(plan, store, on_done=progress.done, outcome=outcome)
        with contextlib.suppress(OSError):
            remember(store, RunInfo.read(store), outcome, history)
    if outcome.done == 0 and outcome.kept == 0 and outcome.stopped:
        raise EngineError(f"nothing could be finished: {outcome.stopped}")
    return outcome
