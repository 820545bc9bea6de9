"""Grow the trees of many questions: side by side, within limits, each written down the moment it is whole."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path

from ponder.core.engine import Engine, Sampling
from ponder.core.errors import DataError, EngineError
from ponder.core.gather import gather
from ponder.core.judge import Reference, Verifier
from ponder.core.problem import Image, Problem
from ponder.core.run import Purse, Run, derive_seed
from ponder.core.train import Example, Row
from ponder.train.data.fast_mcts import Cut, FastMcts, Judge, Tree
from ponder.train.data.journal import Journal, Line
from ponder.train.data.reserve import replies
from ponder.verify import VerifierPool
from ponder.weights.staged import staged_file

OnDone = Callable[[int, int], None]
"""Is told how many questions are done, and of how many."""

PATIENCE = 10
"""So many questions may fail in a row before the work is given up: the model is gone."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to grow."""

    rows: Sequence[Row]
    verifier: Verifier
    builder: Callable[[Judge], FastMcts]
    sampling: Sampling
    journal: Path
    made: Line = field(default_factory=dict)
    """What makes two sessions one; it stands on the journal's first line."""
    seed: int = 0
    concurrency: int = 8
    max_tokens_total: int | None = None
    """Generated tokens, over everything that the journal holds."""
    seconds: float | None = None
    """For the whole session."""


@dataclass(slots=True)
class Grown:
    """How it went: `stopped` says in a sentence why it ended early, or is None.

    Counts are of all sessions, and of the questions that were asked for: the journal may hold more.
    """

    questions: int = 0
    done: int = 0
    """Questions whose tree is in the journal."""
    kept: int = 0
    """Of these, those that were there before this session."""
    failed: int = 0
    solved: int = 0
    """Questions with a right reply."""
    rollouts: int = 0
    right: int = 0
    """Different right replies."""
    pairs: int = 0
    tokens: int = 0
    """Generated ones, of all trees."""
    verified_tokens: int = 0
    """Of the right replies, each counted whole."""
    spent: int = 0
    """Of this session, those of questions that were cut or failed included."""
    seconds: float = 0.0
    stopped: str | None = None
    last_error: str | None = None

    def count(self, line: Line) -> None:
        """Add one question of the journal."""
        right, tokens = int(str(line["right"])), int(str(line["tokens"]))
        self.done, self.solved, self.right = self.done + 1, self.solved + (right > 0), self.right + right
        self.rollouts, self.tokens = self.rollouts + int(str(line["rollouts"])), self.tokens + tokens
        self.pairs += int(str(line["pairs"]))
        self.verified_tokens += int(str(line["verified_tokens"]))


@dataclass(slots=True)
class _State:
    rows: Iterator[Row]
    purse: Purse
    deadline: float | None
    outcome: Grown
    in_row: int = 0
    longest: int = 0
    """Of the trees so far, in tokens."""
    flying: int = 0
    landed: asyncio.Event = field(default_factory=asyncio.Event)


async def grow(plan: Plan, engine: Engine, on_done: OnDone | None = None, outcome: Grown | None = None) -> Grown:
    """Grow the tree of every question that the journal does not hold yet. Cancelling keeps all that are whole."""
    outcome = outcome if outcome is not None else Grown()
    outcome.questions = len(plan.rows)
    started = time.monotonic()
    async with VerifierPool() as pool:
        builder = plan.builder(judging(plan.verifier, pool))
        builder.check(engine)
        with Journal(plan.journal, header(plan, builder, engine)) as journal:
            purse = Purse(plan.max_tokens_total)
            asked = {row.problem.id for row in plan.rows}
            for line in journal.lines():
                purse.spent += int(str(line["tokens"]))
                if line["id"] in asked:
                    outcome.count(line)
            outcome.kept = outcome.done
            deadline = None if plan.seconds is None else started + plan.seconds
            state, before = _State(iter(plan.rows), purse, deadline, outcome), purse.spent
            try:
                # Unlike asyncio's, this one waits for all that it cancels: none may ask a pool that is closed.
                await gather(_worker(plan, engine, journal, state, builder, on_done) for _ in range(plan.concurrency))
            finally:
                outcome.spent, outcome.seconds = purse.spent - before, time.monotonic() - started
    return outcome


def header(plan: Plan, builder: FastMcts, engine: Engine) -> dict[str, object]:
    """Return what makes two sessions one."""
    own = [spec.name for spec in fields(builder) if spec.name not in ("judge", "pool")]
    drawn = {name: getattr(plan.sampling, name) for name in ("max_tokens", "temperature", "top_p", "top_k")}
    return {**plan.made, "model": engine.name, **drawn, **{name: getattr(builder, name) for name in own}}


def judging(verifier: Verifier, pool: VerifierPool) -> Judge:
    """Return what asks the pool whether an answer is right."""

    async def judge(answer: str, reference: Reference) -> bool | None:
        return (await pool.judge(verifier, answer, reference)).correct

    return judge


async def _worker(
    plan: Plan, engine: Engine, journal: Journal, state: _State, builder: FastMcts, on_done: OnDone | None
) -> None:
    outcome = state.outcome
    while outcome.stopped is None and (row := next(state.rows, None)) is not None:
        if row.problem.id not in journal.ids and await _admitted(plan, state, builder):
            state.flying += 1
            try:
                await _one(plan, engine, journal, state, builder, row)
            finally:
                state.flying -= 1
                state.landed.set()
        if on_done:
            on_done(outcome.done, outcome.questions)


async def _admitted(plan: Plan, state: _State, builder: FastMcts) -> bool:
    """Wait until one more question fits into what may be spent; False, with the reason noted, if none will.

    Near the limit questions go one by one: a tree that is cut is lost.
    """
    outcome, purse = state.outcome, state.purse
    while outcome.stopped is None:
        guess = state.longest or builder.tokens or builder.rollouts * plan.sampling.max_tokens
        if purse.empty:
            outcome.stopped = _reached(plan, "budget")
        elif state.deadline is not None and time.monotonic() >= state.deadline:
            outcome.stopped = _reached(plan, "deadline")
        elif not state.flying or purse.left is None or purse.left >= (state.flying + 1) * guess:
            return True
        else:
            state.landed.clear()
            await state.landed.wait()
    return False


async def _one(plan: Plan, engine: Engine, journal: Journal, state: _State, builder: FastMcts, row: Row) -> None:
    """Grow one tree and write it down. One that a limit cut is left to be grown again."""
    outcome = state.outcome
    run = Run(
        engine,
        sampling=plan.sampling,
        seed=derive_seed(plan.seed, (), 0, row.problem.id),
        deadline=state.deadline,
        budget=state.purse,
    )
    try:
        tree = await builder.grow(row, run)
    except Cut as cut:
        outcome.stopped = outcome.stopped or _reached(plan, str(cut))
        return
    except EngineError as error:
        outcome.failed, outcome.last_error, state.in_row = outcome.failed + 1, str(error), state.in_row + 1
        if state.in_row >= PATIENCE:
            outcome.stopped = f"{state.in_row} questions failed in a row, the last one with: {error}"
        return
    state.in_row, state.longest = 0, max(state.longest, tree.tokens)
    line = tree_line(builder, tree)
    journal.append(line)
    outcome.count(line)


def _reached(plan: Plan, which: str) -> str:
    if which == "deadline":
        return f"the {plan.seconds:g} seconds are over"
    return f"the limit of {plan.max_tokens_total:,} generated tokens is reached"


def tree_line(builder: FastMcts, tree: Tree) -> dict[str, object]:
    """Return what the journal keeps of a tree: its counts, and its examples as they go into files."""
    paths, preferences = builder.paths(tree), builder.preferences(tree)
    problem, right = tree.row.problem, tree.right
    return {
        "id": problem.id,
        "rollouts": tree.rollouts,
        "nodes": sum(1 for _ in tree.root.below()) - 1,
        "right": len(right),
        "wrong": len(replies(tree.root, "wrong")),
        "tokens": tree.tokens,
        "verified_tokens": sum(node.tokens for node in right),
        "pairs": len(preferences),
        "paths": [_conversation(example, problem) for example in paths],
        "preferences": [_preference(example, problem) for example in preferences],
    }


def _conversation(example: Example, problem: Problem) -> dict[str, object]:
    messages = [*_said(example), {"role": "assistant", "content": example.completion}]
    return {"messages": messages, "id": problem.id, "tokens": int(example.meta["tokens"])}


def _preference(example: Example, problem: Problem) -> dict[str, object]:
    return {
        "prompt": _said(example),
        "chosen": [{"role": "assistant", "content": example.completion}],
        "rejected": [{"role": "assistant", "content": example.meta["rejected"]}],
        "id": problem.id,
        "shared": int(example.meta["shared"]),
    }


def _said(example: Example) -> list[dict[str, str]]:
    for message in example.messages:
        if any(isinstance(part, Image) for part in message.parts):
            raise DataError("a question with a picture cannot be learnt as text; leave it out")
    return [{"role": message.role, "content": message.text} for message in example.messages]


def write(journal: Path, which: str, out: Path, order: Sequence[str]) -> int:
    """Write the `paths` or `preferences` of a journal, one a line, in the order of the questions; return how many.

    The file is whole or not there. Trees are done as the clock has it, and the file does not show that.
    """
    rows = 0
    with staged_file(out) as stage, journal.open("rb") as source, stage.open("w", encoding="utf-8") as file:
        places, at = dict[str, int](), 0
        for number, raw in enumerate(source):
            if number and raw.endswith(b"\n"):  # The first line says how the others were made.
                places[str(json.loads(raw)["id"])] = at
            at += len(raw)
        for place in (places[id] for id in order if id in places):
            source.seek(place)
            for row in json.loads(source.readline())[which]:
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
                rows += 1
    return rows
