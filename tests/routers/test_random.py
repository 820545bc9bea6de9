"""Random ratings: equal for equal questions, spread evenly, and of no use."""

from __future__ import annotations

import pytest

from ponder.core.errors import OptionError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.random import RandomRouter


async def strong(router: RandomRouter, count: int) -> list[float]:
    return [(await router.rate(Problem.of(f"question {i}"), Run(Echo())))["strong"] for i in range(count)]


async def test_they_depend_on_the_question_and_the_salt_alone() -> None:
    router = RandomRouter()
    first = await router.rate(Problem.of("q", id="1"), Run(Echo(), seed=1))
    assert first == await router.rate(Problem.of("q", id="2"), Run(Echo("else"), seed=2))
    assert first != await RandomRouter(salt=1).rate(Problem.of("q"), Run(Echo()))


async def test_they_are_spread_evenly_so_a_threshold_is_a_share() -> None:
    values = sorted(await strong(RandomRouter(), 4000))
    assert 0 <= values[0] < values[-1] < 1
    assert abs(sum(value >= 0.7 for value in values) / 4000 - 0.3) < 0.02
    assert abs(sum(values) / 4000 - 0.5) < 0.02


async def test_two_choices_add_up_to_one() -> None:
    for index in range(20):
        ratings = await RandomRouter().rate(Problem.of(str(index)), Run(Echo()))
        assert sum(ratings.values()) == pytest.approx(1)


async def test_three_choices_have_three_numbers() -> None:
    ratings = await RandomRouter(("a", "b", "c")).rate(Problem.of("q"), Run(Echo()))
    assert len(set(ratings.values())) == 3


def test_choices_must_be_two_names_at_least() -> None:
    with pytest.raises(OptionError, match=r"choices = .* at least two different names"):
        RandomRouter(("a",))
