"""The synchronous door and its twin for event loops: one problem, one method, one engine, one bill."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass

from ponder.core.engine import Engine, Sampling
from ponder.core.method import Method, Solution, check
from ponder.core.problem import Problem
from ponder.core.run import Run, Trace


@dataclass(frozen=True, slots=True)
class Result:
    """What came out, and everything it took."""

    solution: Solution
    trace: Trace

    @property
    def answer(self) -> str:
        """The answer's text."""
        return self.solution.answer

    @property
    def tokens(self) -> int:
        """Generated tokens over all calls and roles."""
        return self.trace.tokens


async def solve(
    method: Method | str,
    problem: Problem | str,
    engine: Engine | str | Mapping[str, Engine | str] | None = None,
    *,
    sampling: Sampling | None = None,
    seed: int = 0,
    seconds: float | None = None,
    budget: int | None = None,
) -> Result:
    """Answer one problem. `engine` is an engine, what `--model` takes, or a mapping of names to either; None takes the
    first of `ponder model list` that is installed. `budget` bounds the generated tokens, `seconds` the
    time. Raises `PonderError`.
    """
    from ponder.methods import catalogue

    built = catalogue().build(method) if isinstance(method, str) else method
    asked = Problem.of(problem) if isinstance(problem, str) else problem
    async with AsyncExitStack() as stack:
        engines: dict[str, Engine] = {}
        for name, one in (engine if isinstance(engine, Mapping) else {"main": engine}).items():
            if one is None or isinstance(one, str):
                from ponder.engines.open import open_engine

                engines[name] = (await stack.enter_async_context(open_engine(one))).engine
            else:
                engines[name] = one
        check(built, engines)
        deadline = None if seconds is None else time.monotonic() + seconds
        run = Run(engines, sampling=sampling, seed=seed, deadline=deadline, budget=budget)
        solution = await built.solve(asked, run)
    return Result(solution, run.trace)


def run(
    method: Method | str,
    problem: Problem | str,
    engine: Engine | str | Mapping[str, Engine | str] | None = None,
    *,
    sampling: Sampling | None = None,
    seed: int = 0,
    seconds: float | None = None,
    budget: int | None = None,
) -> Result:
    """Answer one problem, outside an event loop; see `solve`."""
    return asyncio.run(solve(method, problem, engine, sampling=sampling, seed=seed, seconds=seconds, budget=budget))
