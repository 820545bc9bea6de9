"""Run many questions through many methods: concurrent, resumable, within limits, each attempt stored as it ends."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from math import isfinite

from ponder.bench.prices import Price
from ponder.bench.store import Key, Record, Store
from ponder.core.engine import Channel, Engine, Sampling
from ponder.core.errors import EngineError, PonderError
from ponder.core.gather import gather
from ponder.core.judge import Item, Task, Verdict
from ponder.core.method import Method, Solution, check
from ponder.core.run import Call, Purse, Run, Trace, derive_seed
from ponder.core.trace import Place
from ponder.verify import VerifierPool

OnDone = Callable[[Record | None, bool], None]

PATIENCE = 10
"""So many attempts may fail in a row before the run gives up: the model is gone, and trying on helps nobody."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    tasks: Sequence[Task]
    methods: Mapping[str, Method]
    """By label, options included."""
    engines: Mapping[str, Engine]
    sampling: Sampling
    limit: int | None = None
    """Questions of each task."""
    seeds: int = 1
    concurrency: int = 8
    max_tokens_total: int | None = None
    """Generated tokens, over everything that the run's file holds."""
    max_cost: float | None = None
    """In the price's currency, over everything that the run's file holds."""
    price: Price | None = None
    seconds: float | None = None
    """For each attempt; what is not done by then is cut, and counted as truncated."""

    def jobs(self) -> Iterator[Job]:
        """Yield every attempt that the plan asks for, in order.

        A few questions at a time go through one method after the other: the later methods find them in the engine's
        prefix cache, and wherever a run stops, the methods have seen almost the same questions.
        """
        for task in self.tasks:
            items = task.items(self.limit)
            while True:
                block, error = _take(items, self.concurrency)
                for seed in range(self.seeds):
                    for label in self.methods:
                        yield from (Job(task, item, seed, label) for item in block)
                if error is not None:
                    raise error
                if not block:
                    break

    def count(self) -> dict[str, int]:
        """Return how many questions each task gives; reads all of them, so that bad data shows before any token."""
        return {task.name: sum(1 for _ in task.items(self.limit)) for task in self.tasks}


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt to be made."""

    task: Task
    item: Item
    seed: int
    label: str

    @property
    def key(self) -> Key:
        """Its place in the store."""
        return Key(self.task.name, self.label, self.seed, self.item.problem.id)


def _take(items: Iterator[Item], count: int) -> tuple[list[Item], PonderError | None]:
    """Return the next items, and what is wrong with the one after them, if its data is broken."""
    block: list[Item] = []
    try:
        block.extend(islice(items, count))
    except PonderError as error:
        return block, error
    return block, None


@dataclass(slots=True)
class Outcome:
    """How a run ended: `stopped` says why it ended early, in a sentence, or is None."""

    done: int = 0
    kept: int = 0
    """Attempts that were finished before this run began."""
    failed: int = 0
    tokens: int = 0
    cost: float = 0.0
    """Of this session, failed attempts included."""
    seconds: float = 0.0
    stopped: str | None = None
    last_error: str | None = None


@dataclass(slots=True)
class _State:
    """What the workers share."""

    jobs: Iterator[Job]
    outcome: Outcome
    purse: Purse
    earlier: float = 0.0
    """What earlier sessions of the run cost."""
    in_row: int = 0
    dearest: float = 0.0
    longest: int = 0
    """Of the attempts so far, in tokens."""
    flying: int = 0
    landed: asyncio.Event = field(default_factory=asyncio.Event)
    broken: list[BaseException] = field(default_factory=list)


async def run_plan(
    plan: Plan,
    store: Store,
    *,
    on_done: OnDone | None = None,
    outcome: Outcome | None = None,
) -> Outcome:
    """Make every attempt of the plan that the store does not hold yet.

    `on_done` gets the record of each attempt, or None for one that failed or was kept, and whether it was kept.
    `outcome` is filled as the run goes on. Cancelling the call keeps all that is finished. Raises `Unsupported` before
    the first token if a method needs what an engine cannot do.
    """
    for method in plan.methods.values():
        check(method, plan.engines)
    spent = store.spent()
    outcome = outcome or Outcome()
    earlier = plan.price.cost(*store.prompts(), spent) if plan.price else 0.0
    state = _State(plan.jobs(), outcome, Purse(plan.max_tokens_total, spent), earlier)
    started = time.monotonic()
    async with VerifierPool() as pool:
        try:
            # Unlike asyncio's, this one waits for all that it cancels: none may ask a pool that is closed.
            await gather(_worker(plan, store, state, pool, on_done) for _ in range(plan.concurrency))
        finally:
            outcome.tokens = state.purse.spent - spent
            outcome.seconds = time.monotonic() - started
    if state.broken:
        raise state.broken[0]
    return outcome


async def _worker(
    plan: Plan,
    store: Store,
    state: _State,
    pool: VerifierPool,
    on_done: OnDone | None,
) -> None:
    outcome = state.outcome
    while outcome.stopped is None and not state.broken:
        try:
            job = next(state.jobs, None)
        except PonderError as error:  # broken data: what is in flight is finished first
            state.broken.append(error)
            return
        if job is None:
            return
        if store.has(job.key):
            outcome.kept += 1
            if on_done:
                on_done(None, True)
            continue
        if not await _admit(plan, state):
            return
        state.flying += 1
        try:
            record = await _attempt(plan, store, state, pool, job)
        finally:
            state.flying -= 1
            state.landed.set()
        if on_done:
            on_done(record, False)


async def _admit(plan: Plan, state: _State) -> bool:
    """Wait until one more attempt fits into what may be spent; False, with the reason noted, if none ever will.

    Near a limit attempts go one by one: cut ones are no results, so many in flight at its end would all be wasted.
    """
    outcome, purse = state.outcome, state.purse
    while outcome.stopped is None:
        tokens = state.longest or plan.sampling.max_tokens
        roomy = purse.left is None or purse.left >= (state.flying + 1) * tokens
        if plan.max_cost is not None and plan.price is not None:
            guess = state.dearest or plan.price.cost(0, 0, plan.sampling.max_tokens)
            affordable = state.earlier + outcome.cost + (state.flying + 1) * guess <= plan.max_cost
            if not affordable and not state.flying:
                outcome.stopped = f"one more attempt could exceed the limit of {plan.max_cost:g} {plan.price.currency}"
                return False
            roomy = roomy and affordable
        if purse.empty:
            outcome.stopped = _limit_reached(purse)
        elif roomy or not state.flying:
            return True
        else:
            state.landed.clear()
            await state.landed.wait()
    return False


def _limit_reached(purse: Purse) -> str:
    return f"the limit of {purse.total:,} generated tokens is reached"


async def _attempt(plan: Plan, store: Store, state: _State, pool: VerifierPool, job: Job) -> Record | None:
    """Make one attempt and store it. An attempt that the token limit cut is no result: it is left to be made again."""
    outcome, verifier = state.outcome, job.task.verifier
    problem, reference = job.item.problem, job.item.reference
    started = time.monotonic()
    first: list[float] = []

    def shown(text: str, channel: Channel) -> None:
        if not first:
            first.append(time.monotonic() - started)

    run = Run(
        plan.engines,
        sampling=plan.sampling,
        seed=derive_seed(job.seed, (), 0, problem.id),
        deadline=None if plan.seconds is None else started + plan.seconds,
        budget=state.purse,
        extract=verifier.extract,
        same=verifier.same,
        on_show=shown,
    )
    try:
        solution = await plan.methods[job.label].solve(problem, run)
        seconds = time.monotonic() - started
        judged = Verdict(None) if reference is None else await pool.judge(verifier, solution.answer, reference)
    except Exception as error:  # a task boundary: the failure is stored and the run goes on
        _charge(plan, state, run.trace)
        _failed(store, state, job, run.trace, error)
        return None
    _charge(plan, state, run.trace)
    if state.purse.empty and any(call.finish == "budget" for call in run.trace.calls):
        store.fail(job.key, "cut by the token limit of the whole run", run.trace.tokens)
        outcome.stopped = _limit_reached(state.purse)
        return None
    state.in_row = 0
    record = _record(job, run.trace, solution, judged, seconds, first[0] if first else seconds)
    store.add(record)
    outcome.done += 1
    state.longest = max(state.longest, record.tokens)
    return record


def _charge(plan: Plan, state: _State, trace: Trace) -> None:
    """Bill an attempt, whatever became of it."""
    if plan.price:
        cost = plan.price.cost(trace.prompt_tokens, trace.cached_tokens, trace.tokens)
        state.outcome.cost += cost
        state.dearest = max(state.dearest, cost)


def _failed(store: Store, state: _State, job: Job, trace: Trace, error: Exception) -> None:
    """Store a failure, and end the run when too many came in a row."""
    text = str(error) if isinstance(error, PonderError) else f"{type(error).__name__}: {error}"
    store.fail(job.key, text, trace.tokens)
    outcome = state.outcome
    outcome.failed += 1
    outcome.last_error = text
    state.in_row += 1
    hopeless = isinstance(error, EngineError) and not error.retry and error.status in (401, 403, 404)
    if state.in_row >= PATIENCE or hopeless:
        outcome.stopped = f"{state.in_row} attempts failed in a row, the last one with: {text}"


def _record(
    job: Job, trace: Trace, solution: Solution, verdict: Verdict, seconds: float, first: float | None
) -> Record:
    return Record(
        key=job.key,
        correct=verdict.correct,
        extracted=verdict.extracted,
        finish=solution.finish,
        truncated=solution.finish in ("length", "budget", "deadline"),
        tokens=trace.tokens,
        by_role={str(role): tokens for role, tokens in trace.tokens_by_role.items()},
        prompt_tokens=trace.prompt_tokens,
        cached_tokens=trace.cached_tokens,
        seconds=seconds,
        first_token_seconds=first,
        exact=trace.exact,
        trace=trace_json(job.item, solution, trace),
    )


def trace_json(item: Item, solution: Solution, trace: Trace) -> str:
    """Return an attempt as JSON text: question, reference, solution and every call, as `docs/json.md` describes."""
    return json.dumps(
        {
            "question": item.problem.question,
            "reference": item.reference.text if item.reference else None,
            "solution": {
                "answer": solution.answer,
                "thinking": solution.thinking,
                "finish": solution.finish,
                "evidence": dict(solution.evidence),
            },
            "calls": calls_json(trace),
        },
        ensure_ascii=False,
    )


def calls_json(trace: Trace) -> list[dict[str, object]]:
    """Return all calls as JSON values; those that stand in a tree of replies say where."""
    return [{**call_json(call), **_place_json(trace.tree.get(number))} for number, call in enumerate(trace.calls)]


def _place_json(place: Place | None) -> dict[str, object]:
    if place is None:
        return {}
    # JSON knows no infinite numbers.
    score = place.score if place.score is None or isfinite(place.score) else str(place.score)
    return {"after": place.after, "score": score, "fate": place.fate, "visits": place.visits}


def call_json(call: Call) -> dict[str, object]:
    """Return one call as JSON values; its text by channel, its tokens, how it ended and what it took."""
    return {
        "role": call.role,
        "engine": call.engine,
        "branch": list(call.branch),
        "seed": call.seed,
        "thinking": call.thinking,
        "answer": call.answer,
        "think_tokens": call.think_tokens,
        "answer_tokens": call.answer_tokens,
        "latent": call.latent,
        "prompt_tokens": call.prompt_tokens,
        "cached_tokens": call.cached_tokens,
        "finish": call.finish,
        "seconds": round(call.seconds, 4),
        "exact": call.exact,
    }
