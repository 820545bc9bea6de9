"""What `ponder train probe` learns from: replies of the model itself, their states, and whether they were right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from ponder.cli.engines import EngineArgs
from ponder.cli.output import console
from ponder.core.engine import Cap, Engine, Sampling
from ponder.core.errors import DataError, Unsupported
from ponder.core.gather import gather
from ponder.core.judge import Item, Task
from ponder.core.method import Method, check
from ponder.core.run import Run
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.scorers.probe import last_state
from ponder.steer.draw import draw
from ponder.verify import VerifierPool
from ponder.weights.tensors import Array

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Replies:
    """One entry for each reply that was whole and could be judged."""

    model: str
    tasks: list[str] = field(default_factory=list)
    states: list[Array] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    """The mean log-probability of each, as a control: it needs no training."""
    left: int = 0
    """Replies that a limit cut, that stated nothing, or that could not be judged: those no probe is asked about."""
    tokens: int = 0

    def matrix(self) -> Array:
        """Return the states as (n, width). Raises `DataError` where there are none."""
        if not self.states:
            raise DataError(f"none of {self.left} replies was whole and could be judged; raise --max-tokens")
        return np.stack(self.states)


@dataclass(frozen=True, slots=True)
class Asking:
    """How replies are drawn."""

    method: Method
    sampling: Sampling
    layer: int
    limit: int | None
    concurrency: int | None


async def collect(tasks: Sequence[Task], models: EngineArgs, asking: Asking, progress: Progress) -> Replies:
    """Draw one reply to each question. Raises `Unsupported` for a model that shows no states."""
    async with models.open() as (engines, main), VerifierPool() as pool:
        console(stderr=True).print(main.notice, style="dim", markup=False)
        check(asking.method, engines)
        _refuse(engines["main"])
        found = Replies(engines["main"].name)
        items = [(task, item) for task in tasks for item in islice(task.items(asking.limit), asking.limit)]
        gate = asyncio.Semaphore(asking.concurrency or main.concurrency)

        async def one(task: Task, item: Item) -> None:
            async with gate:
                await _reply(found, engines, task, item, asking, pool)
                progress(len(found.right) + found.left, len(items))

        await gather(one(task, item) for task, item in items)
    return found


def _refuse(engine: Engine) -> None:
    if not {Cap.HIDDEN, Cap.LOGPROBS} <= engine.caps:
        raise Unsupported(
            f"a probe reads hidden states, and {engine.name} shows none; give the model as a transformers folder, "
            "which runs in this process"
        )


async def _reply(
    found: Replies, engines: dict[str, Engine], task: Task, item: Item, asking: Asking, pool: VerifierPool
) -> None:
    verifier = task.verifier
    run = Run(engines, sampling=asking.sampling, extract=verifier.extract, same=verifier.same)
    asks = {"hidden": (asking.layer,), "logprobs": 1}
    sample = await draw(asking.method, item.problem, run, 0, n=1, asks=asks)  # type: ignore[arg-type]
    verdict = await pool.judge(verifier, sample.solution.answer, item.reference)
    state = last_state(sample.call, asking.layer)
    found.tokens += run.trace.tokens
    if verdict.correct is None or state is None or sample.stated is None or not sample.whole:
        found.left += 1
        return
    (score,) = await MeanLogprob().score(item.problem, [sample.call], run)
    found.tasks.append(task.name)
    found.states.append(state)
    found.right.append(int(verdict.correct))
    found.logprobs.append(score.value)
