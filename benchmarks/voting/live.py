"""What a vote and probes cost on one engine: the same model, prompts and seeds with and without them, in turns."""

from __future__ import annotations

import argparse
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from ponder.core.engine import Engine, Sampling
from ponder.core.judge import Task
from ponder.core.method import Method, Solution, check
from ponder.core.problem import Problem
from ponder.core.run import Run, Trace
from ponder.methods.stop.dynasor import Dynasor
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample

PLAIN = Sample(cot=False)
"""One reply to the question as it stands, so that all sides send the same prompt."""
ENDLESS = 1_000_000
"""More probes than any thought has: so many never agree."""

Row = dict[str, object]


@dataclass(frozen=True)
class Timed:
    """What one solution took: seconds on the clock, and of this process's CPU time, which a server's does not enter."""

    seconds: float
    cpu: float
    trace: Trace
    solution: Solution

    @property
    def row(self) -> dict[str, float]:
        """The figures that are kept."""
        return {"seconds": self.seconds, "cpu": self.cpu, "tokens": self.trace.tokens}


async def timed(
    method: Method,
    problem: Problem,
    engine: Engine,
    sampling: Sampling,
    seed: int,
    task: Task | None = None,
    budget: int | None = None,
    **others: Engine,
) -> Timed:
    """Solve one problem. With a task, answers are read and compared as it does; `others` are engines by name."""
    engines = {"main": engine, **others}
    check(method, engines)
    if task is None:
        run = Run(engines, sampling=sampling, seed=seed, budget=budget)
    else:
        read, same = task.verifier.extract, task.verifier.same
        run = Run(engines, sampling=sampling, seed=seed, budget=budget, extract=read, same=same)
    clock, cpu = time.perf_counter(), time.process_time()
    solution = await method.solve(problem, run)
    return Timed(time.perf_counter() - clock, time.process_time() - cpu, run.trace, solution)


async def in_turns(arms: dict[str, Callable[[], Awaitable[Row]]], turn: int) -> Row:
    """Run all arms, a different one first each time, and return what each gave."""
    names = list(arms)
    return {name: await arms[name]() for name in names[turn % len(names) :] + names[: turn % len(names)]}


async def wall(engine: Engine, options: argparse.Namespace, turn: int) -> Row:
    """One sample, the best of n, and n samples one after the other; no reply ends before it is as long as all are."""
    bias = tuple((end, -100.0) for end in options.end)
    sampling = Sampling(max_tokens=options.tokens, temperature=options.temperature, logit_bias=bias)

    def tale(number: int) -> Problem:
        # A beginning that no other arm has read: else the first one reads it for the others.
        return Problem.of(f"{number} is the number of this story. Tell all of it, chapter by chapter, at great length.")

    async def once(method: Method, problem: Problem, seed: int) -> Row:
        taken = await timed(method, problem, engine, sampling, seed)
        full = sum(call.tokens == options.tokens for call in taken.trace.calls) / len(taken.trace.calls)
        return {**taken.row, "calls": len(taken.trace.calls), "full": full}

    async def naive(problem: Problem) -> Row:
        rows = [await once(PLAIN, problem, turn * options.n + i) for i in range(options.n)]
        total: Row = {key: sum(float(str(row[key])) for row in rows) for key in rows[0]}
        return total | {"full": float(str(total["full"])) / options.n}

    first = 1000 + 3 * turn
    return await in_turns(
        {
            "one": partial(once, PLAIN, tale(first), turn),
            "best": partial(once, BestOfN(n=options.n, inner=PLAIN), tale(first + 1), turn),
            "naive": partial(naive, tale(first + 2)),
        },
        turn,
    )


async def probes(engine: Engine, options: argparse.Namespace, task: Task, problem: Problem, turn: int) -> Row:
    """One sample, and the same one probed every so many tokens without ever being stopped."""
    sampling = Sampling(max_tokens=options.most, temperature=options.temperature)
    said: dict[str, tuple[str, str]] = {}

    async def once(name: str, method: Method) -> Row:
        taken = await timed(method, problem, engine, sampling, turn, task)
        said[name] = (taken.solution.thinking, taken.solution.answer)
        calls = [call for call in taken.trace.calls if call.role == "probe"]
        tokens, seconds = sum(call.tokens for call in calls), sum(call.seconds for call in calls)
        return {**taken.row, "probes": len(calls), "probe_tokens": tokens, "probe_seconds": seconds}

    row = await in_turns(
        {
            "plain": partial(once, "plain", PLAIN),
            "probed": partial(once, "probed", Dynasor(every=options.every, count=ENDLESS, ask=options.ask)),
        },
        turn,
    )
    return row | {"equal": said["plain"] == said["probed"]}
