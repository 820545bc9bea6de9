"""The share of a reply's equations that hold."""

from __future__ import annotations

import pytest

from ponder.core.errors import OptionError
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.scorers.rule import Rule
from ponder.text.answers import number


async def score(scorer: Rule, thinking: str, answer: str) -> tuple[float, tuple[float, ...]]:
    run = Run(Echo(), extract=number)
    (found,) = await scorer.score(Problem.of("q"), [Call("think", "x", (), 0, thinking=thinking, answer=answer)], run)
    assert run.trace.calls == []
    return found.value, found.steps


async def test_thinking_and_answer_are_checked_together() -> None:
    assert await score(Rule(), "6×3=18\n18-2=16", "\\boxed{16}") == (1.0, (1.0, 1.0))
    assert await score(Rule(), "6×3=18\n18-2=15", "So 1 + 1 = 2 and it is 15.") == (2 / 3, (1.0, 0.0, 1.0))


@pytest.mark.parametrize(("thinking", "answer"), [("", "It is 5."), ("1 + 1 = 2", "no idea"), ("", "")])
async def test_what_cannot_be_checked_scores_nothing(thinking: str, answer: str) -> None:
    assert (await score(Rule(), thinking, answer))[0] == 0.0


async def test_modulo() -> None:
    assert (await score(Rule(), "4+1=5\n5+5=3", "3"))[0] == 0.5
    assert (await score(Rule(modulus=7), "4+1=5\n5+5=3", "3"))[0] == 1.0


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="Rule: modulus = 1 is out of range"):
        Rule(modulus=1)
    assert (Rule().needs(), Rule().asks()) == ({"main": frozenset()}, {})
