"""How many of the others state the same answer."""

from __future__ import annotations

import math

import pytest

from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.scorers.agreement import Agreement
from ponder.text.answers import number

QUESTION = Problem.of("q")


@pytest.mark.parametrize(
    ("answers", "values"),
    [
        (["2", "is 2.0", "3", "2", "none"], [0.5, 0.5, 0.0, 0.5, -math.inf]),
        (["7"], [0.0]),
        (["none"], [-math.inf]),
        (["4", "4"], [1.0, 1.0]),
        ([], []),
    ],
)
async def test_the_share_of_the_others(answers: list[str], values: list[float]) -> None:
    run = Run(Echo(), extract=number, same=lambda a, b: float(a) == float(b))
    scorer = Agreement()
    calls = [Call("think", "x", (i,), 0, answer=answer) for i, answer in enumerate(answers)]
    assert [score.value for score in await scorer.score(QUESTION, calls, run)] == values
    assert (scorer.needs(), scorer.asks(), run.trace.calls) == ({"main": frozenset()}, {}, [])
