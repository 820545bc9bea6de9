"""Scores of samples, and scorers that fail in every way."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pytest

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.errors import EngineError, PonderError
from ponder.core.judge import Score
from ponder.core.method import Solution
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.scorers.self_certainty import MeanCertainty
from ponder.steer.draw import Draw
from ponder.steer.score import Steps, scored, whole_score

QUESTION = Problem.of("q")


@dataclass(frozen=True)
class Says:
    """Gives these scores; raises the error, or sleeps, if there is one."""

    values: tuple[float, ...] = ()
    error: Exception | None = None
    seconds: float = 0

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        await asyncio.sleep(self.seconds)
        if self.error is not None:
            raise self.error
        return [Score(value) for value in self.values]


def samples(n: int, tokens: int = 0) -> list[Draw]:
    return [Draw(i, Solution("1"), "1", Call("think", "echo", (i,), 0, think_tokens=tokens)) for i in range(n)]


async def score(says: Says, n: int = 2, **options: float) -> list[float] | None:
    return await scored(says, QUESTION, samples(n), Run(Echo(), **options), "value")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("steps", "value"), [("value", 0.5), ("min", 0.8), ("prod", 0.684), ("last", 0.95), ("mean", 0.88333)]
)
def test_steps_golden(steps: Steps, value: float) -> None:
    assert whole_score(Score(0.5, (0.9, 0.8, 0.95)), steps) == pytest.approx(value, abs=5e-6)
    assert whole_score(Score(0.5), steps) == 0.5, "without steps the value stands"


@pytest.mark.parametrize("steps", ["min", "prod", "last", "mean"])
def test_a_step_that_is_no_number_is_never_hidden(steps: Steps) -> None:
    assert math.isnan(whole_score(Score(0.5, (0.1, math.nan, 0.2)), steps))


async def test_scores_come_in_the_order_of_samples() -> None:
    assert await score(Says((0.3, -math.inf))) == [0.3, -math.inf]


async def test_what_is_wrong_names_the_scorer() -> None:
    with pytest.raises(PonderError, match="the scorer Says gave NaN for sample 2"):
        await score(Says((0.3, math.nan)))
    with pytest.raises(PonderError, match="the scorer Says gave 1 scores for 2 replies"):
        await score(Says((0.3,)))
    with pytest.raises(PonderError, match="the scorer Says failed \\(ValueError: no model\\)"):
        await score(Says(error=ValueError("no model")))
    with pytest.raises(EngineError, match="busy"):
        await score(Says(error=EngineError("busy")))


async def test_a_scorer_that_hangs_ends_with_the_deadline() -> None:
    assert await score(Says((0.1, 0.2), seconds=3600), deadline=time.monotonic() + 0.05) is None


async def test_a_scorer_that_runs_out_of_time_by_itself_has_failed() -> None:
    with pytest.raises(PonderError, match="TimeoutError"):
        await score(Says(error=TimeoutError("slow")), deadline=time.monotonic() + 3600)


async def test_replies_without_the_log_probabilities_that_are_read_are_refused() -> None:
    with pytest.raises(EngineError, match="came without log-probabilities, which MeanLogprob scores by"):
        await scored(MeanLogprob(), QUESTION, samples(1, tokens=3), Run(Echo()), "value")
    assert await scored(MeanLogprob(), QUESTION, samples(1), Run(Echo()), "value") == [-math.inf]
    with pytest.raises(EngineError, match="came without certainties, which MeanCertainty scores by"):
        await scored(MeanCertainty(), QUESTION, samples(1, tokens=3), Run(Echo()), "value")
    assert await scored(MeanCertainty(), QUESTION, samples(1), Run(Echo()), "value") == [-math.inf]


@pytest.mark.parametrize("steps", ["min", "prod", "mean"])
def test_a_step_out_of_the_question_counts_whatever_the_others_are(steps: Steps) -> None:
    assert whole_score(Score(0.5, (-math.inf, 0.0, 0.5)), steps) == -math.inf
    assert whole_score(Score(0.5, (-math.inf, -1.0)), steps) == -math.inf
    assert whole_score(Score(0.5, (-math.inf, 0.5)), "last") == 0.5
