from __future__ import annotations

import math

import pytest

from ponder.core.engine import Cap, Logprob
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.scorers.mean_probability import MeanProbability


def reply(*logprobs: float) -> Call:
    return Call("think", "x", (), 0, logprobs=tuple(Logprob("w", value) for value in logprobs))


async def test_the_mean_of_probabilities_beside_that_of_logarithms() -> None:
    """The notes' example: -.105, -.223, -.357 have the mean -.2283 and the geometric mean probability .7959."""
    run, call = Run(Echo()), reply(-0.105, -0.223, -0.357)
    (own,) = await MeanProbability().score(Problem.of("q"), [call], run)
    (other,) = await MeanLogprob().score(Problem.of("q"), [call], run)
    assert own.value == pytest.approx((math.exp(-0.105) + math.exp(-0.223) + math.exp(-0.357)) / 3)
    assert other.value == pytest.approx(-0.2283, abs=5e-5)
    assert math.exp(other.value) == pytest.approx(0.7959, abs=5e-5)
    assert math.exp(-other.value) == pytest.approx(1.2565, abs=5e-5)


async def test_one_unlikely_token_weighs_little_and_no_token_has_no_score() -> None:
    run = Run(Echo())
    calls = [reply(-0.1, -0.1, -0.1, -9.0), reply(-1.0, -1.0, -1.0, -1.0), reply()]
    own = [score.value for score in await MeanProbability().score(Problem.of("q"), calls, run)]
    other = [score.value for score in await MeanLogprob().score(Problem.of("q"), calls, run)]
    assert own[0] > own[1]
    assert other[0] < other[1]
    assert own[2] == -math.inf
    assert (MeanProbability().needs(), MeanProbability().asks()) == (
        {"main": frozenset({Cap.LOGPROBS})},
        {"logprobs": 1},
    )
