from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from ponder.core.engine import Cap, Engine, Logprob
from ponder.core.errors import Unsupported
from ponder.core.method import Method, Solution, check, merge_needs
from ponder.core.problem import Problem, ToolCall
from ponder.core.run import Call, CallFinish, Run
from ponder.engines.echo import Echo


@dataclass(frozen=True)
class Probing:
    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {"main": frozenset({Cap.PREFILL, Cap.HIDDEN}), "strong": frozenset()}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        return Solution("")


def call(finish: CallFinish) -> Call:
    return Call(
        "think", "echo", (), 0, thinking="t", answer="a", finish=finish, logprobs=(Logprob("a", -0.1),),
        tool_calls=(ToolCall("1", "f", "{}"),),
    )  # fmt: skip


def test_the_solution_of_a_call_is_its_two_channels() -> None:
    solution = Solution.of(call("stop"), {"votes": 3})
    assert (solution.thinking, solution.answer, solution.evidence) == ("t", "a", {"votes": 3})
    assert solution.tool_calls == (ToolCall("1", "f", "{}"),)
    assert solution.logprobs == (Logprob("a", -0.1),)


@pytest.mark.parametrize("finish", ["stop", "length", "tool_calls", "deadline", "budget"])
def test_limits_and_ends_are_told_apart(finish: CallFinish) -> None:
    assert Solution.of(call(finish)).finish == finish


@pytest.mark.parametrize("finish", ["left", "error"])
def test_walking_away_is_an_exit(finish: CallFinish) -> None:
    assert Solution.of(call(finish)).finish == "exit"


def test_evidence_is_no_part_of_the_hash() -> None:
    assert hash(Solution("a", evidence={"n": 1})) == hash(Solution("a", evidence={"n": 2}))


def test_anything_with_needs_and_solve_is_a_method() -> None:
    assert isinstance(Probing(), Method)
    assert not isinstance(Solution("a"), Method)


def test_needs_of_several_methods_are_united_by_engine() -> None:
    both = merge_needs({"main": frozenset({Cap.PREFILL})}, {"main": frozenset({Cap.LOGPROBS}), "draft": frozenset()})
    assert both == {"main": frozenset({Cap.PREFILL, Cap.LOGPROBS}), "draft": frozenset()}
    assert merge_needs() == {}


def test_a_missing_engine_is_named_with_its_remedy() -> None:
    engines = {"main": Echo(caps=frozenset(Cap)), "strongg": Echo()}
    with pytest.raises(Unsupported, match=r"named 'strong'; did you mean 'strongg'.*--engine strong=MODEL"):
        check(Probing(), engines)


def test_a_missing_capability_is_named_in_words() -> None:
    with pytest.raises(
        Unsupported, match=r"Probing needs an engine with HIDDEN \(gives hidden states\), and echo lacks"
    ):
        check(Probing(), {"main": Echo(), "strong": Echo()})


@dataclass(frozen=True)
class Choosy:
    """Wants one of two things."""

    cap: Cap = Cap.LOGPROBS

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {"main": frozenset({self.cap})}

    def refuse(self, engines: Mapping[str, Engine]) -> None:
        if not engines["main"].caps & {Cap.PREFILL, Cap.THINKING}:
            raise Unsupported("neither of the two")


@dataclass(frozen=True)
class Holding:
    parts: tuple[Choosy, ...]
    uses: bool = True

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return merge_needs(*(part.needs() for part in self.parts)) if self.uses else {"main": frozenset()}

    async def solve(self, problem: Problem, run: Run) -> Solution:
        return Solution("")


def test_a_part_may_refuse_engines_that_have_neither_of_two_things() -> None:
    neither = {"main": Echo(caps=frozenset({Cap.LOGPROBS}))}
    with pytest.raises(Unsupported, match="neither of the two"):
        check(Holding((Choosy(), Choosy())), neither)
    check(Holding((Choosy(),), uses=False), neither)
    check(Holding((Choosy(),)), {"main": Echo(caps=frozenset({Cap.LOGPROBS, Cap.THINKING}))})
    with pytest.raises(Unsupported, match="HIDDEN"):  # what is missing in any case comes first
        check(Holding((Choosy(), Choosy(Cap.HIDDEN))), neither)


def test_an_engine_that_can_do_more_is_fine() -> None:
    engines = {"main": Echo(caps=frozenset(Cap)), "strong": Echo(), "other": Echo()}
    assert check(Probing(), engines) is None  # type: ignore[func-returns-value]
