"""Scripted searches: an engine that says what a function of prefix and slot says, and a scorer that weighs texts."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from ponder.core.engine import SamplingArgs, Think
from ponder.core.judge import Score
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run, derive_seed
from ponder.engines.echo import Echo
from ponder.text.answers import number

QUESTION = Problem.of("Between 12 and 99.")
SLOTS = {derive_seed(0, (slot,), 0, "branch"): slot for slot in range(64)}

Say = Callable[[str, int], str]
"""(what stands already, slot) to all that follows; -1 is the run itself."""


def writer(say: Say, **options: object) -> Echo:
    """Return an engine on which each branch of a run with seed 0 writes what `say` tells it to."""
    return Echo(
        lambda prompt, seed: say(prompt.prefill, SLOTS.get(seed, -1)),
        think=Think("<think>", "</think>"),
        **options,  # type: ignore[arg-type]
    )


def letters(count: int, end: str = "7") -> Say:
    """Return a writer of `count` lines: `a` in even slots, `b` in odd ones, and then the answer."""

    def say(before: str, slot: int) -> str:
        lines = max(0, count - before.count("\n"))
        return ("b\n" if slot % 2 else "a\n") * lines + ("" if before.endswith(end) else end)

    return say


@dataclass(frozen=True)
class Weighs:
    """Scores a reply by its text so far; `asked` holds what was scored, batch by batch."""

    weigh: Callable[[str], float]
    asked: list[list[str]] = field(default_factory=list, compare=False)
    waits: float = 0
    call: bool = False
    short: int = 0

    def needs(self) -> dict[str, frozenset]:  # type: ignore[type-arg]
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        self.asked.append([call.text for call in calls])
        await asyncio.sleep(self.waits)
        if self.call:
            await run.generate(Prompt.of(problem), "verify", max_tokens=1)
        return [Score(self.weigh(call.text)) for call in calls[self.short :]]


def count_a(text: str) -> float:
    """The more lines say `a`, the better."""
    return float(text.count("a"))


def run_on(engine: object, **options: object) -> Run:
    return Run(engine, extract=number, **options)  # type: ignore[arg-type]


def said(solution: Solution, run: Run) -> tuple[str, str, str, int]:
    """Return what two runs are compared by: thinking, answer, end and bill."""
    return solution.thinking, solution.answer, solution.finish, run.trace.tokens
