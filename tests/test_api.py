"""The stable Python interface: what it exports, and its two doors."""

from __future__ import annotations

import asyncio

import pytest

import ponder
from ponder.engines.echo import Echo, Fault
from ponder.methods.vote.sample import Sample


def test_everything_that_is_exported_is_there() -> None:
    assert sorted(ponder.__all__) == ponder.__all__
    assert all(vars(ponder)[name] is not None for name in ponder.__all__)
    assert ponder.__version__.count(".") == 2


def test_a_method_may_be_named_or_given() -> None:
    by_name, given = (ponder.run(method, "What is 12 + 30?", Echo(), seed=4) for method in ("sample", Sample()))
    assert by_name.solution == given.solution
    assert by_name.answer == by_name.solution.answer
    assert "boxed" in by_name.answer


def test_the_result_holds_the_whole_bill() -> None:
    echo = Echo()
    result = ponder.run("self_consistency", ponder.Problem.of("What is 12 + 30?"), echo)
    assert result.tokens == result.trace.tokens == echo.generated
    assert len(result.trace.calls) == 8


def test_an_engine_may_be_named_and_several_may_be_given() -> None:
    assert ponder.run("sample", "What is 12 + 30?", "echo").tokens > 0
    echo = Echo("one two")
    assert ponder.run("sample", "q", {"main": echo, "strong": "echo"}).answer == "one two"
    assert echo.calls == 1


async def test_inside_an_event_loop_there_is_solve() -> None:
    results = await asyncio.gather(*(ponder.solve("sample", "What is 12 + 30?", Echo(), seed=s) for s in (1, 1, 2)))
    assert results[0].solution == results[1].solution != results[2].solution


def test_limits_are_passed_on() -> None:
    assert ponder.run("sample", "q", Echo("a b c d"), budget=2).solution.finish == "budget"
    assert ponder.run("sample", "q", Echo("a b c d"), sampling=ponder.Sampling(max_tokens=3)).tokens == 3
    stalls = Echo(faults={0: Fault("stall", at=1)})
    assert ponder.run("sample", "q", stalls, seconds=0.05).solution.finish == "deadline"


def test_needs_are_checked_before_the_first_token() -> None:
    with pytest.raises(ponder.Unsupported, match="Sample needs an engine named 'main'"):
        ponder.run("sample", "q", {"strong": Echo()})


def test_errors_are_ponder_errors() -> None:
    with pytest.raises(ponder.OptionError, match="did you mean 'sample'"):
        ponder.run("simple", "q", Echo())
    with pytest.raises(ponder.EngineError, match="broke off"):
        ponder.run("sample", "q", Echo(faults={0: Fault("cut", at=1)}))
