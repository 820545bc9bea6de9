"""Decisions: the rule over several choices, and failures that are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from ponder.core.engine import Cap
from ponder.core.errors import OptionError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.constant import ConstantRouter
from ponder.steer.route import decide

QUESTION = Problem.of("q")


@dataclass(frozen=True)
class Fixed:
    ratings: Mapping[str, float] = field(default_factory=dict, hash=False)

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        return self.ratings


async def test_ratings_that_differ_by_nothing_have_exactly_one_half() -> None:
    for rating in (0.1, 0.3, 0.7, 0.9):
        router = ConstantRouter(ratings=(rating, rating))
        place, evidence = await decide(router, ("weak", "strong"), 0.5, "strong", QUESTION, Run(Echo()))
        assert (place, evidence["score"]) == (1, 0.5)


async def test_further_ratings_of_a_router_do_not_matter() -> None:
    router = Fixed({"strong": 0.9, "other": 7.0, "weak": 0.2})
    place, evidence = await decide(router, ("weak", "strong"), 0.5, "strong", QUESTION, Run(Echo()))
    assert (place, evidence["route"]) == (1, "strong")


async def test_a_dearer_choice_that_is_no_better_does_not_take_a_question_over() -> None:
    router = ConstantRouter(("a", "b", "c"), (0.1, 0.9, 0.9))
    place, evidence = await decide(router, ("a", "b", "c"), 0.6, "strong", QUESTION, Run(Echo()))
    assert (place, evidence["route"]) == (1, "b")
    assert evidence["score"] == pytest.approx(0.9)


@pytest.mark.parametrize(("fallback", "place"), [("weak", 0), ("strong", 2)])
async def test_a_failure_goes_to_the_named_side(fallback: str, place: int) -> None:
    run, side = Run(Echo()), "weak" if fallback == "weak" else "strong"
    router = Fixed({"a": 0.5, "b": float("nan"), "c": 0.5})
    found, evidence = await decide(router, ("a", "b", "c"), 0.5, "weak" if side == "weak" else "strong", QUESTION, run)
    assert (found, evidence["failed"]) == (place, 1)
    assert "score" not in evidence
    assert run.trace.notes == [evidence["reason"]]


async def test_what_the_router_cannot_be_used_for_is_an_error() -> None:
    router = ConstantRouter(("a", "b"), (0.0, 1.0))
    with pytest.raises(OptionError, match="the router ConstantRouter rates a, b, and not 'c'"):
        await decide(router, ("a", "c"), 0.5, "weak", QUESTION, Run(Echo()))
