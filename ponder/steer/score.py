"""Scores of samples, checked: one number for each, never NaN, and an error that names the scorer."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from typing import Literal

from ponder.core.errors import EngineError, PonderError
from ponder.core.judge import Score, Scorer
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.steer.draw import Draw
from ponder.steer.places import place_of

Steps = Literal["value", "min", "prod", "last", "mean"]
"""What a reply's score is: the scorer's own value, or one made of the scores of its steps."""


GRACE = 0.2
"""Seconds that a scorer has after the deadline, in which no model answers any more: samples that have ended by then
are told apart without one, where that is quick.
"""


def whole_score(score: Score, steps: Steps) -> float:
    """Return one number for a reply. A score without steps counts with its value, whatever is asked."""
    if steps == "value" or not score.steps:
        return score.value
    if any(math.isnan(step) for step in score.steps):
        return math.nan
    if -math.inf in score.steps:
        # A step that is out of the question is not made good by the others, nor by a sign.
        return score.steps[-1] if steps == "last" else -math.inf
    if steps == "min":
        return min(score.steps)
    if steps == "prod":
        return math.prod(score.steps)
    return score.steps[-1] if steps == "last" else math.fsum(score.steps) / len(score.steps)


async def scored(
    scorer: Scorer, problem: Problem, samples: Sequence[Draw], run: Run, steps: Steps
) -> list[float] | None:
    """Return the score of each sample; None where the run's deadline passes first.

    `run` is the view that the scorer makes calls of its own in. Raises `PonderError` if the scorer fails.
    """
    found = await scores(scorer, problem, samples, run)
    if found is None:
        return None
    return [noted(scorer, sample, whole_score(score, steps), run) for sample, score in zip(samples, found, strict=True)]


async def scores(scorer: Scorer, problem: Problem, samples: Sequence[Draw], run: Run) -> list[Score] | None:
    """Return what the scorer says of each sample, as `scored` does, before it is made one number."""
    name = type(scorer).__name__
    _readable(scorer, samples)
    limit = asyncio.timeout(None if run.deadline is None else max(GRACE, run.deadline - time.monotonic()))
    try:
        async with limit:
            found = await scorer.score(problem, [sample.call for sample in samples], run)
    except PonderError:
        raise
    except Exception as error:
        if limit.expired():
            return None
        raise PonderError(f"the scorer {name} failed ({type(error).__name__}: {error}); choose another one") from error
    if len(found) != len(samples):
        raise PonderError(
            f"the scorer {name} gave {len(found)} scores for {len(samples)} replies; it must give each one"
        )
    return found


def noted(scorer: Scorer, sample: Draw, value: float, run: Run) -> float:
    """Return a sample's score, noted in the trace. Raises `PonderError` for one that is no number."""
    if math.isnan(value):
        name = type(scorer).__name__
        raise PonderError(f"the scorer {name} gave NaN for sample {sample.index + 1}; a score must be a number")
    place_of(run, sample.at).score = value
    return value


def _readable(scorer: Scorer, samples: Sequence[Draw]) -> None:
    """Raise `EngineError` where the scorer reads log-probabilities or certainties and the engine sent none."""
    asks = scorer.asks()
    for sample in samples:
        call, missing = sample.call, ""
        if asks.get("logprobs") and not call.logprobs:
            missing = "log-probabilities"
        elif asks.get("certainty") and all(token.certainty is None for token in call.logprobs):
            missing = "certainties"
        elif asks.get("hidden") and not call.hidden:
            missing = "hidden states"
        if missing and call.tokens:
            raise EngineError(
                f"{call.engine}: the replies came without {missing}, which {type(scorer).__name__} scores by; "
                f"choose another scorer"
            )
