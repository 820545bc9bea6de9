"""Scripted samples for votes: an engine that says a text for each branch, and a scorer that rates what they say."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from method_cases import Jittery

from ponder.core.engine import Cap, SamplingArgs, Think
from ponder.core.judge import Score
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Call, Run, derive_seed
from ponder.engines.echo import Echo
from ponder.text.answers import number

QUESTION = Problem.of("Between 12 and 99.")


@dataclass(frozen=True)
class Rates:
    """Scores replies by what they say: `table` holds a score, or the scores of steps, for each answer."""

    table: Mapping[str, float | tuple[float, ...]]
    asked: list[list[str]] = field(default_factory=list, compare=False)
    waits: float = 0
    call: bool = False

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        self.asked.append([call.answer for call in calls])
        await asyncio.sleep(self.waits)
        if self.call:
            await run.generate(Prompt.of(problem), "verify")
        found = [self.table[number(call.answer) or ""] for call in calls]
        return [Score(s) if isinstance(s, float) else Score(-1.0, s) for s in found]


def echo(texts: list[str], **options: object) -> Echo:
    """Return an engine that says `texts[i]` in branch i."""
    by_seed = {derive_seed(0, (index,), 0, "branch"): text for index, text in enumerate(texts)}
    return Echo(lambda prompt, seed: by_seed.get(seed, "ok"), think=Think("<think>", "</think>"), **options)  # type: ignore[arg-type]


def run_on(engine: Echo | Jittery, **options: object) -> Run:
    return Run(engine, extract=number, **options)  # type: ignore[arg-type]
