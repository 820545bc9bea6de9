from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pytest

from ponder.core.engine import Cap
from ponder.core.errors import DataError, EngineError, OptionError, Unsupported
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.steer.rating import rated

QUESTION = Problem.of("q")


@dataclass(frozen=True)
class Says:
    """A router that says what it is told to, raises it, or asks a model first."""

    found: object
    asks: bool = False

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {"main": frozenset()} if self.asks else {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        if self.asks:
            await run.generate(Prompt.of(problem), "route")
        if isinstance(self.found, BaseException):
            raise self.found
        return self.found  # type: ignore[return-value]


async def test_the_ratings_of_the_choices_are_handed_on() -> None:
    found = await rated(Says({"b": 0.2, "a": 0.9, "other": 3.0}), QUESTION, Run(Echo()), ("a", "b"), "b")
    assert found == ({"a": 0.9, "b": 0.2}, "")
    assert found.evidence == {}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (RuntimeError("out of luck"), "RuntimeError: out of luck"),
        (EngineError("the judge broke off"), "EngineError: the judge broke off"),
        ({"a": 0.5, "b": float("nan")}, "its ratings are {'a': 0.5, 'b': nan}, not numbers in 0 to 1"),
        ({"a": float("-inf"), "b": 0.5}, "its ratings are {'a': -inf, 'b': 0.5}, not numbers in 0 to 1"),
        ({"a": 1.5, "b": 0.5, "other": 7}, "its ratings are {'a': 1.5, 'b': 0.5}, not numbers in 0 to 1"),
        ({"a": "high", "b": 0.5}, "its ratings are {'a': 'high', 'b': 0.5}, not numbers in 0 to 1"),
        (None, "TypeError: 'NoneType' object is not iterable"),
    ],
)
async def test_a_router_that_fails_on_a_question_is_told_and_does_not_end_it(said: object, why: str) -> None:
    run = Run(Echo())
    found = await rated(Says(said), QUESTION, run, ("a", "b"), "the other side")
    assert found.ratings == {}
    assert found.failed == f"the router failed ({why}); fell back to the other side"
    assert found.evidence == {"reason": found.failed, "failed": 1}
    assert run.trace.notes == [found.failed]


@pytest.mark.parametrize("error", [DataError("no file; train one"), OptionError("no such"), Unsupported("no logprobs")])
async def test_a_router_that_cannot_be_used_at_all_is_an_error(error: Exception) -> None:
    run = Run(Echo())
    with pytest.raises(type(error), match=str(error)):
        await rated(Says(error), QUESTION, run, ("a", "b"), "b")
    assert run.trace.notes == []


async def test_choices_that_a_router_does_not_rate_are_an_error_that_names_both() -> None:
    with pytest.raises(OptionError, match="the router Says rates a, c, and not 'b'; take one that does"):
        await rated(Says({"a": 0.5, "c": 0.5}), QUESTION, Run(Echo()), ("a", "b"), "b")


async def test_ratings_of_another_number_type_are_numbers() -> None:
    found = await rated(Says({"a": np.float32(0.5), "b": 1}), QUESTION, Run(Echo()), ("a", "b"), "b")
    assert found.ratings == {"a": 0.5, "b": 1}


async def test_a_cancelled_question_is_not_taken_for_a_failure() -> None:
    with pytest.raises(asyncio.CancelledError):
        await rated(Says(asyncio.CancelledError()), QUESTION, Run(Echo()), ("a", "b"), "b")


async def test_calls_of_a_router_are_billed_as_such_and_take_no_branch_of_a_method() -> None:
    run = Run(Echo())
    await rated(Says({"a": 1.0, "b": 0.0}, asks=True), QUESTION, run, ("a", "b"), "b")
    assert set(run.trace.tokens_by_role) == {"route"}
    assert run.trace.shown == []
    assert all(call.branch[0] < 0 for call in run.trace.calls)
