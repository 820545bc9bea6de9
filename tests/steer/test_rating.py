from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from ponder.core.engine import Cap
from ponder.core.errors import DataError
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
    found = await rated(Says({"b": 0.2, "a": 0.9, "other": 3.0}), QUESTION, Run(Echo()), ("a", "b"))
    assert found == ({"a": 0.9, "b": 0.2}, "")
    assert found.evidence == {}


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (DataError("no file; train one"), "the router Says failed (DataError: no file; train one)"),
        (RuntimeError("out of luck"), "the router Says failed (RuntimeError: out of luck)"),
        ({"a": 0.5}, "the router Says does not rate b"),
        ({"a": 0.5, "b": float("nan")}, "the router Says gave no finite number"),
        (None, "the router Says failed (TypeError: 'NoneType' object is not iterable)"),
    ],
)
async def test_a_router_that_fails_is_told_and_does_not_end_the_question(said: object, why: str) -> None:
    run = Run(Echo())
    found = await rated(Says(said), QUESTION, run, ("a", "b"))
    assert found.ratings == {}
    assert found.failed == why
    assert found.evidence == {"reason": found.failed, "failed": 1}
    assert run.trace.notes == [found.failed]


async def test_a_cancelled_question_is_not_taken_for_a_failure() -> None:
    with pytest.raises(asyncio.CancelledError):
        await rated(Says(asyncio.CancelledError()), QUESTION, Run(Echo()), ("a", "b"))


async def test_calls_of_a_router_are_billed_as_such_and_take_no_branch_of_a_method() -> None:
    run = Run(Echo())
    await rated(Says({"a": 1.0, "b": 0.0}, asks=True), QUESTION, run, ("a", "b"))
    assert set(run.trace.tokens_by_role) == {"route"}
    assert run.trace.shown == []
    assert all(call.branch[0] < 0 for call in run.trace.calls)
