"""Record a task: question by question, within limits, each line kept the moment it is whole."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ponder.bench.record import Cut, Grid, record_item
from ponder.bench.record_file import RecordFile
from ponder.bench.results import SCHEMA
from ponder.bench.runner import PATIENCE
from ponder.bench.session import sampling_config
from ponder.core.engine import Cap, Engine, Sampling
from ponder.core.errors import DataError, EngineError, PonderError, Unsupported
from ponder.core.gather import gather
from ponder.core.judge import Item, Task
from ponder.core.method import check
from ponder.core.run import Purse, Run, derive_seed
from ponder.verify import VerifierPool

OnDone = Callable[[int, int], None]
"""Is told how many questions are done, and of how many."""


@dataclass(frozen=True, slots=True)
class RecordPlan:
    """What to record."""

    task: Task
    path: Path
    grid: Grid
    sampling: Sampling
    samples: int = 1
    seed: int = 0
    limit: int | None = None
    concurrency: int = 8
    max_tokens_total: int | None = None
    """Generated tokens, over everything that the file holds."""
    seconds: float | None = None
    """For the whole session."""

    def header(self, engine: Engine) -> dict[str, object]:
        """Return the file's first line: the tokenizer, and what makes two recordings one."""
        recording: dict[str, object] = {
            "schema": SCHEMA,
            "task": self.task.name,
            "model": engine.name,
            "samples": self.samples,
            "every": self.grid.every,
            "words": list(self.grid.words),
            "probes": dict(self.grid.texts),
            "probe_tokens": self.grid.tokens,
            "seed": self.seed,
            "sampling": sampling_config(self.sampling),
        }
        if self.grid.scorers:
            recording["scorers"] = list(self.grid.scorers)
        return {"tokenizer": engine.name, "recording": recording}


@dataclass(slots=True)
class Recorded:
    """How a recording went: `stopped` says in a sentence why it ended early, or is None."""

    questions: int = 0
    """That the task asks for."""
    kept: int = 0
    """Recorded by an earlier session."""
    done: int = 0
    failed: int = 0
    seconds: float = 0.0
    stopped: str | None = None
    last_error: str | None = None
    bill: Mapping[str, int] = field(default_factory=dict)
    """Tokens by role of all that the file holds."""
    samples: int = 0
    probes: int = 0
    spent: int = 0
    """Tokens of this session, those of questions that were cut or failed included."""
    prompt_tokens: int = 0
    cached_tokens: int = 0


@dataclass(slots=True)
class _State:
    """What the workers share."""

    items: Iterator[Item]
    purse: Purse
    deadline: float | None
    outcome: Recorded
    in_row: int = 0
    longest: int = 0
    flying: int = 0
    landed: asyncio.Event = field(default_factory=asyncio.Event)


async def record(
    plan: RecordPlan, engine: Engine, on_done: OnDone | None = None, outcome: Recorded | None = None
) -> Recorded:
    """Record every question that the file does not hold yet. Cancelling the call keeps all lines that are whole.

    Raises `Unsupported` before the first token for an engine that cannot continue a reply, or lacks what a scorer
    needs.
    """
    for scorer in plan.grid.scorers.values():
        check(scorer, {"main": engine})
    if Cap.PREFILL not in engine.caps:
        raise Unsupported(
            f"{engine.name} lacks {Cap.PREFILL.name} ({Cap.PREFILL.value}), and a probe continues one; use an engine "
            f"that has it"
        )
    outcome = outcome if outcome is not None else Recorded()
    outcome.questions = sum(1 for _ in plan.task.items(plan.limit))
    if not outcome.questions:
        raise DataError(f"{plan.task.name} holds no question; name a task that has some")
    started = time.monotonic()
    deadline = None if plan.seconds is None else started + plan.seconds
    with RecordFile(plan.path, plan.header(engine)) as file:
        purse = Purse(plan.max_tokens_total, file.tokens)
        state = _State(plan.task.items(plan.limit), purse, deadline, outcome)
        before = purse.spent
        try:
            async with VerifierPool() as pool:
                workers = max(1, -(-plan.concurrency // plan.samples))
                await gather(_worker(plan, engine, file, state, pool, on_done) for _ in range(workers))
        finally:
            outcome.bill, outcome.samples, outcome.probes = dict(file.bill), file.samples, file.probes
            outcome.spent, outcome.seconds = purse.spent - before, time.monotonic() - started
    return outcome


async def _worker(
    plan: RecordPlan, engine: Engine, file: RecordFile, state: _State, pool: VerifierPool, on_done: OnDone | None
) -> None:
    outcome = state.outcome
    while outcome.stopped is None and (item := next(state.items, None)) is not None:
        if item.problem.id in file.ids:
            outcome.kept += 1
        elif await _admitted(plan, state):
            state.flying += 1
            try:
                await _one(plan, engine, file, state, pool, item)
            finally:
                state.flying -= 1
                state.landed.set()
        if on_done:
            on_done(outcome.kept + outcome.done, outcome.questions)


async def _admitted(plan: RecordPlan, state: _State) -> bool:
    """Wait until one more question fits into what may be spent; False, with the reason noted, if none will.

    Near the limit questions go one by one: a question that is cut is no recording.
    """
    outcome, purse = state.outcome, state.purse
    while outcome.stopped is None:
        guess = state.longest or plan.samples * plan.sampling.max_tokens
        if purse.empty:
            outcome.stopped = _limit_reached(plan, "budget")
        elif state.deadline is not None and time.monotonic() >= state.deadline:
            outcome.stopped = _limit_reached(plan, "deadline")
        elif not state.flying or purse.left is None or purse.left >= (state.flying + 1) * guess:
            return True
        else:
            state.landed.clear()
            await state.landed.wait()
    return False


def _limit_reached(plan: RecordPlan, which: str) -> str:
    if which == "deadline":
        return f"the {plan.seconds:g} seconds are over"
    return f"the limit of {plan.max_tokens_total:,} generated tokens is reached"


async def _one(
    plan: RecordPlan, engine: Engine, file: RecordFile, state: _State, pool: VerifierPool, item: Item
) -> None:
    """Record one question and write it down."""
    outcome, verifier = state.outcome, plan.task.verifier
    run = Run(
        engine,
        sampling=plan.sampling,
        seed=derive_seed(plan.seed, (), 0, item.problem.id),
        deadline=state.deadline,
        budget=state.purse,
        extract=verifier.extract,
        same=verifier.same,
    )
    try:
        line = await record_item(item, verifier, run, plan.samples, plan.grid, pool)
    except Cut as cut:
        outcome.stopped = _limit_reached(plan, str(cut))
        return
    except EngineError as error:
        _failed(state, error)
        return
    finally:
        outcome.prompt_tokens += run.trace.prompt_tokens
        outcome.cached_tokens += run.trace.cached_tokens
    file.append(line)
    state.in_row = 0
    state.longest = max(state.longest, run.trace.tokens)
    outcome.done += 1


def _failed(state: _State, error: PonderError) -> None:
    """Count a failure, and end the recording when too many came in a row."""
    outcome = state.outcome
    outcome.failed += 1
    outcome.last_error = str(error)
    state.in_row += 1
    if state.in_row >= PATIENCE:
        outcome.stopped = f"{state.in_row} questions failed in a row, the last one with: {error}"
