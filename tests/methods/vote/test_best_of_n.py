from __future__ import annotations

import time

import pytest
from method_cases import Jittery
from support.votes import QUESTION, Rates, echo, run_on

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import EngineError, OptionError, PonderError
from ponder.core.method import Solution
from ponder.engines.echo import Echo, Fault
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample


async def test_the_best_score_wins_and_of_equal_ones_the_first() -> None:
    run = run_on(echo(["1", "so 2", "3"]))
    solution = await BestOfN(n=3, scorer=Rates({"1": 0.1, "2": 0.7, "3": 0.7})).solve(QUESTION, run)
    assert (solution.answer, run.trace.shown) == ("so 2", [("answer", "so 2")])
    assert solution.evidence == {"score": 0.7, "sample": 2, "n": 3, "failed": 0}


async def test_scores_may_be_negative_and_infinite() -> None:
    rates = Rates({"1": float("-inf"), "2": -3.5, "3": -4.0})
    assert (await BestOfN(n=3, scorer=rates).solve(QUESTION, run_on(echo(["1", "2", "3"])))).answer == "2"


@pytest.mark.parametrize(("steps", "answer"), [("min", "2"), ("prod", "2"), ("last", "1"), ("mean", "3")])
async def test_steps_make_a_score(steps: str, answer: str) -> None:
    rates = Rates({"1": (0.1, 0.95), "2": (0.7, 0.7), "3": (1.0, 0.45)})
    solution = await BestOfN(n=3, scorer=rates, steps=steps).solve(QUESTION, run_on(echo(["1", "2", "3"])))  # type: ignore[arg-type]
    assert solution.answer == answer


async def test_one_sample_is_plain_sampling_and_is_not_scored() -> None:
    rates = Rates({})
    for seed in range(5):
        one, plain = run_on(Echo(), seed=seed), run_on(Echo(), seed=seed)
        assert await BestOfN(n=1, scorer=rates).solve(QUESTION, one) == await Sample().solve(QUESTION, plain)
        assert one.trace.shown == plain.trace.shown
    warm = await BestOfN(n=1, scorer=rates, temperature=0.5, stop_at=0.0).solve(QUESTION, run_on(echo(["5"])))
    assert (warm.answer, rates.asked) == ("5", [])
    assert BestOfN(n=1).needs() == {"main": frozenset()}
    assert BestOfN(n=2).needs() == {"main": frozenset({Cap.LOGPROBS})}


async def test_what_states_no_answer_or_is_cut_wins_only_where_nothing_else_is() -> None:
    rates = Rates({"1": 0.1, "2": 0.9, "": 5.0})
    run = run_on(echo(["none", "1", "2 but on and on"]), sampling=Sampling(max_tokens=3))
    solution = await BestOfN(n=3, scorer=rates).solve(QUESTION, run)
    assert (solution.answer, solution.evidence["failed"], rates.asked) == ("1", 1, [])
    run = run_on(echo(["none", "1 on and on", "2 on and on"]), sampling=Sampling(max_tokens=2))
    cut = await BestOfN(n=3, scorer=rates).solve(QUESTION, run)
    assert (cut.answer, cut.finish) == ("2 on ", "length")
    silent = await BestOfN(n=2, scorer=rates).solve(QUESTION, run_on(echo(["none", "nothing"])))
    assert (silent.answer, silent.evidence) == ("none", {"sample": 1, "n": 2, "failed": 2})


TEXTS = [f"{'so ' * 60}1", f"{'so ' * 20}2", f"{'so ' * 20}3", f"{'so ' * 9}4", f"{'so ' * 90}5"]
RATES = {"1": 9.0, "2": 0.8, "3": 0.9, "4": 0.1, "5": 0.2}


@pytest.mark.parametrize("delay", range(8))
async def test_the_good_sample_with_the_fewest_tokens_wins_under_any_interleaving(delay: int) -> None:
    engine = echo(TEXTS)
    run = run_on(Jittery(engine, delay))
    solution = await BestOfN(n=5, scorer=Rates(RATES), stop_at=0.8).solve(QUESTION, run)
    assert solution.answer == TEXTS[1]
    assert solution.evidence == {"score": 0.8, "sample": 2, "n": 5, "exit": "score"}
    assert (solution.finish, engine.open_streams) == ("stop", 0)
    assert run.trace.tokens == engine.generated


async def test_the_saving_shows_in_the_bill() -> None:
    run = run_on(echo(TEXTS))
    await BestOfN(n=5, scorer=Rates(RATES), stop_at=0.8).solve(QUESTION, run)
    assert run.trace.tokens <= 10 + 2 * 21 + 2 * 22 + 8 < sum(text.count(" ") + 1 for text in TEXTS)
    assert sorted(call.finish for call in run.trace.calls) == ["budget", "budget", "stop", "stop", "stop"]


async def test_where_no_sample_is_good_enough_the_best_is_taken() -> None:
    run = run_on(echo(TEXTS))
    solution = await BestOfN(n=5, scorer=Rates(RATES), stop_at=10.0).solve(QUESTION, run)
    assert solution.answer == TEXTS[0]
    assert "exit" not in solution.evidence
    assert run.trace.tokens == sum(text.count(" ") + 1 for text in TEXTS)


async def test_calls_of_the_scorer_are_billed_as_such() -> None:
    for stop_at in (None, 0.0):
        run = run_on(echo(["1", "2"]))
        rates = Rates({"1": 0.1, "2": 0.2}, call=True)
        await BestOfN(n=2, scorer=rates, stop_at=stop_at).solve(QUESTION, run)
        assert run.trace.tokens_by_role["verify"] in (1, 2)
        assert {call.branch for call in run.trace.calls if call.role == "verify"} <= {(2,), (3,)}


@pytest.mark.parametrize("stop_at", [None, 0.0])
async def test_a_scorer_that_fails_is_named_and_loses_no_bill(stop_at: float | None) -> None:
    engine = echo(["1", "2 and so on"])
    run = run_on(engine)
    with pytest.raises(PonderError, match="the scorer Rates gave NaN for sample"):
        await BestOfN(n=2, scorer=Rates({"1": float("nan"), "2": 1.0}), stop_at=stop_at).solve(QUESTION, run)
    assert (run.trace.tokens, engine.open_streams) == (engine.generated, 0)
    with pytest.raises(PonderError, match="the scorer Rates failed \\(KeyError: '1'\\)"):
        await BestOfN(n=2, scorer=Rates({"2": 1.0}), stop_at=stop_at).solve(QUESTION, run_on(echo(["1", "2"])))


@pytest.mark.parametrize("stop_at", [None, 0.9])
async def test_a_deadline_leaves_the_best_of_the_samples_that_have_ended(stop_at: float | None) -> None:
    engine = echo(["1", "2", "3"], faults={2: Fault("stall", at=0)})
    rates = Rates({"1": 0.1, "2": 0.7})
    run = run_on(engine, deadline=time.monotonic() + 0.1)
    solution = await BestOfN(n=3, scorer=rates, stop_at=stop_at).solve(QUESTION, run)
    assert (solution.answer, solution.finish, engine.open_streams) == ("2", "deadline", 0)


@pytest.mark.parametrize("stop_at", [None, 0.9])
async def test_a_deadline_within_scoring_leaves_the_first_that_may_win(stop_at: float | None) -> None:
    run = run_on(echo(["none", "1", "2"]), deadline=time.monotonic() + 0.1)
    solution = await BestOfN(n=3, scorer=Rates({}, waits=3600), stop_at=stop_at).solve(QUESTION, run)
    assert (solution.answer, solution.finish) == ("1", "deadline")
    assert "score" not in solution.evidence


async def test_a_budget_leaves_the_best_of_the_samples_that_have_ended() -> None:
    run = run_on(echo(["1", "so 2", f"{'so ' * 50}3"]), budget=12)
    solution = await BestOfN(n=3, scorer=Rates({"1": 0.1, "2": 0.7})).solve(QUESTION, run)
    assert (solution.answer, solution.finish, run.trace.tokens) == ("so 2", "budget", 12)


async def test_a_sample_that_fails_ends_the_others() -> None:
    engine = Echo("a " * 100, faults={1: Fault("error", at=3)})
    run = run_on(engine)
    with pytest.raises(EngineError, match="scripted failure"):
        await BestOfN(n=3).solve(QUESTION, run)
    assert (engine.open_streams, run.trace.tokens) == (0, engine.generated)


async def test_the_usual_scorer_takes_the_reply_that_its_model_found_likeliest() -> None:
    run = run_on(Echo())
    solution = await BestOfN(n=4).solve(QUESTION, run)
    means = [sum(t.logprob for t in call.logprobs) / len(call.logprobs) for call in run.trace.calls]
    assert solution.evidence["score"] == pytest.approx(max(means))


def test_options_out_of_range_are_refused() -> None:
    with pytest.raises(OptionError, match="BestOfN: n = 0 is out of range"):
        BestOfN(n=0)
    with pytest.raises(OptionError, match="temperature"):
        BestOfN(temperature=-1.0)


async def test_any_method_may_give_the_samples() -> None:
    rates = Rates({"1": 0.1, "2": 0.2, "3": 0.3, "4": 0.4, "5": 0.5})
    engine = Echo(lambda prompt, seed: str(1 + seed % 5))
    solution: Solution = await BestOfN(n=3, scorer=rates, inner=BestOfN(n=4, scorer=rates)).solve(
        QUESTION, run_on(engine)
    )
    assert solution.answer == max(answer for batch in rates.asked for answer in batch)
