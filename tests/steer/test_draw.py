"""Samples drawn side by side: their heat, their branches, and the one call that a scorer sees."""

from __future__ import annotations

import pytest

from ponder.core.engine import Sampling
from ponder.core.method import Solution
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.core.trace import Purse
from ponder.engines.echo import Echo
from ponder.methods.stop.budget_forcing import BudgetForcing
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.steer.draw import draw, heat
from ponder.text.answers import number

QUESTION = Problem.of("Between 12 and 99.")


@pytest.mark.parametrize(("own", "asked", "n", "found"), [
    (0.0, None, 8, 0.7), (0.0, None, 1, 0.0), (0.4, None, 8, 0.4), (0.4, 0.9, 8, 0.9), (0.4, 0.0, 8, 0.0),
])  # fmt: skip
def test_several_samples_of_a_greedy_run_are_warmed(own: float, asked: float | None, n: int, found: float) -> None:
    assert heat(own, asked, n) == found


async def test_a_draw_is_the_method_in_a_branch_of_its_own() -> None:
    run = Run(Echo(), extract=number)
    one = await draw(Sample(), QUESTION, run, 3)
    (call,) = run.trace.calls
    assert (one.index, one.call, one.stated) == (3, call, number(call.answer))
    assert (call.branch, run.trace.shown) == ((3,), [])
    assert run.trace.notes == [f"sample 4 of 2: {one.stated}"]


async def test_several_calls_are_joined_to_the_reply_that_they_wrote() -> None:
    run = Run(Echo(), extract=number, sampling=Sampling(logprobs=2))
    one = await draw(BudgetForcing(cap=3, waits=0), QUESTION, run, 0, asks={"logprobs": 1})
    calls = run.trace.calls
    assert len(calls) > 1
    assert one.call.text == one.solution.thinking + one.solution.answer
    assert one.call.tokens == run.trace.tokens
    assert one.call.logprobs == tuple(token for call in calls for token in call.logprobs)
    assert all(len(token.top) == 2 for token in one.call.logprobs), "no fewer rivals than the run asks for"


async def test_the_call_of_a_vote_is_the_sample_that_won_it() -> None:
    run = Run(Echo(), extract=number)
    one = await draw(SelfConsistency(n=3), QUESTION, run, 0, asks={"logprobs": 1})
    assert one.call in run.trace.calls
    assert (one.call.thinking, one.call.answer) == (one.solution.thinking, one.solution.answer)
    assert len(one.call.logprobs) == one.call.tokens < run.trace.tokens


async def test_what_a_scorer_asks_for_reaches_the_calls() -> None:
    run = Run(Echo(), extract=number)
    one = await draw(Sample(), QUESTION, run, 0, asks={"logprobs": 1})
    assert len(one.call.logprobs) == one.call.tokens
    assert run.sampling.logprobs == 0


async def test_a_purse_cuts_a_draw_and_not_its_siblings() -> None:
    run = Run(Echo(), extract=number)
    whole = await draw(Sample(), QUESTION, run, 1)
    cut = await draw(Sample(), QUESTION, run, 0, purse=Purse(3))
    assert (whole.whole, cut.whole, cut.call.tokens, cut.solution.finish) == (True, False, 3, "budget")


async def test_of_an_inner_vote_only_the_sample_that_it_chose_is_seen() -> None:
    run = Run(Echo(), extract=number, sampling=Sampling(logprobs=1))
    one = await draw(SelfConsistency(n=3), QUESTION, run, 0)
    assert len(run.trace.calls) == 3
    assert one.call in run.trace.calls
    assert (one.call.thinking, one.call.answer) == (one.solution.thinking, one.solution.answer)
    assert one.call.tokens < run.trace.tokens


async def test_calls_that_no_branch_alone_explains_are_joined_in_the_order_of_their_branches() -> None:
    late = [Call("think", "echo", branch, seed=sum(branch), thinking="x") for branch in ((0, 2), (0, 0), (0, 1))]
    run = Run(Echo(), extract=number)

    class Told(Sample):
        async def solve(self, problem: Problem, run: Run) -> Solution:
            run.trace.calls.extend(late)
            return Solution("12", "none of them")

    one = await draw(Told(), QUESTION, run, 0)
    assert (one.call.branch, one.call.seed, one.call.text) == ((0, 0), 0, "none of them12")
