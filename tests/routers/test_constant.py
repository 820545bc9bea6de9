"""Constant ratings: the same for every question, and refused where they are none."""

from __future__ import annotations

import pytest

from ponder.core.errors import OptionError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.constant import ConstantRouter


async def test_every_question_is_rated_alike() -> None:
    router = ConstantRouter(ratings=(0.25, 0.75))
    for question in ("easy", "hard"):
        assert await router.rate(Problem.of(question), Run(Echo())) == {"weak": 0.25, "strong": 0.75}


async def test_as_it_comes_nothing_is_saved_and_nothing_lost() -> None:
    assert await ConstantRouter().rate(Problem.of("q"), Run(Echo())) == {"weak": 0.0, "strong": 1.0}


@pytest.mark.parametrize("choices", [(), ("a",), ("a", "a")])
def test_choices_must_be_two_names_at_least(choices: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match=r"choices = .* at least two different names"):
        ConstantRouter(choices, (0.0,) * len(choices))


@pytest.mark.parametrize("ratings", [(), (0.5,), (0.5, 1.5), (0.5, float("nan")), (0.1, 0.2, 0.3)])
def test_ratings_must_be_one_share_for_each_choice(ratings: tuple[float, ...]) -> None:
    with pytest.raises(OptionError, match=r"ratings = .* 2 numbers in 0 to 1"):
        ConstantRouter(ratings=ratings)
