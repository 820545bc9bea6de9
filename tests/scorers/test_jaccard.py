from __future__ import annotations

import math

import pytest

from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.scorers.jaccard import Jaccard


@pytest.mark.parametrize(
    ("answers", "values"),
    [
        # {a, b} and {b, c} share 1 of 3, {a, b} and {a, b} all.
        (["a b", "B a!", "b c"], [(1 + 1 / 3) / 2, (1 + 1 / 3) / 2, 1 / 3]),
        (["yes", "no"], [0.0, 0.0]),
        (["alone"], [0.0]),
        (["a", ""], [0.0, -math.inf]),
        (["是五", "是六"], [1 / 3, 1 / 3]),
        ([], []),
    ],
)
async def test_the_degree_is_the_mean_over_the_others(answers: list[str], values: list[float]) -> None:
    run = Run(Echo())
    calls = [Call("think", "x", (i,), 0, answer=answer) for i, answer in enumerate(answers)]
    found = [score.value for score in await Jaccard().score(Problem.of("q"), calls, run)]
    assert found == pytest.approx(values)
    assert run.trace.calls == []
    assert (Jaccard().needs(), Jaccard().asks()) == ({"main": frozenset()}, {})
