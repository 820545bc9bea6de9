from __future__ import annotations

import math
import time
from itertools import accumulate

import pytest
from method_cases import Jittery
from support.trees import QUESTION, Weighs, run_on, said, writer

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import EngineError, OptionError, PonderError
from ponder.engines.echo import Echo, Fault
from ponder.methods.search.speculative_rejection import SpeculativeRejection, kept
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample


def long(length: int) -> Echo:
    """Return an engine on which the sample of each slot says its number again and again, and then answers with it."""

    def say(before: str, slot: int) -> str:
        return f"{slot} " * max(0, length - len(before.split()))

    return writer(say)


def slot_of(text: str) -> float:
    """The later the slot, the better."""
    return float(text.split()[0])


@pytest.mark.parametrize(
    ("alpha", "start", "counts"), [(0.5, 16, [16, 8, 4, 2, 1]), (0.3, 20, [20, 14, 10, 7, 5, 4, 3]), (0.0, 7, [7, 7])]
)
def test_kept_golden(alpha: float, start: int, counts: list[int]) -> None:
    assert list(accumulate(counts[1:], lambda count, _: kept(count, alpha), initial=start)) == counts


def test_at_least_one_is_kept_and_halves_go_to_the_even_number() -> None:
    assert (kept(1, 0.5), kept(1, 0.99), kept(5, 0.5), kept(7, 0.5)) == (1, 1, 2, 4)


async def test_tokens_golden() -> None:
    """Cuts at 100, 200 and 400 tokens, end at 800: 4,000 tokens against the 12,800 of best of 16."""
    scorer = Weighs(slot_of)
    run = run_on(long(800))
    solution = await SpeculativeRejection(n=16, first=100, scorer=scorer).solve(QUESTION, run)
    assert run.trace.tokens == 16 * 100 + 8 * 100 + 4 * 200 + 2 * 400 == 4000
    assert [len(batch) for batch in scorer.asked] == [16, 8, 4, 2]
    assert [len(batch[0].split()) for batch in scorer.asked] == [100, 200, 400, 800]
    assert solution.answer == "15 " * 800
    assert solution.evidence == {"score": 15.0, "n": 16, "alive": "16 8 4 2 1"}


async def test_adding_a_constant_to_all_scores_changes_nothing() -> None:
    found = []
    for shift in (0.0, -1e6, 1e3):
        run = run_on(long(300))
        scorer = Weighs(lambda text, by=shift: slot_of(text) + by)  # type: ignore[misc]
        found.append(said(await SpeculativeRejection(n=8, first=20, scorer=scorer).solve(QUESTION, run), run))
    assert found[0] == found[1] == found[2]


@pytest.mark.parametrize("delay", range(3))
async def test_alpha_zero_is_best_of_n(delay: int) -> None:
    for seed in range(5):
        ours, theirs = run_on(Jittery(Echo(), delay), seed=seed), run_on(Echo(), seed=seed)
        found = await SpeculativeRejection(n=5, alpha=0.0, first=2).solve(QUESTION, ours)
        expected = await BestOfN(n=5).solve(QUESTION, theirs)
        assert said(found, ours) == said(expected, theirs)
        assert found.evidence["score"] == pytest.approx(expected.evidence["score"])
        assert len(ours.trace.calls) == 5


@pytest.mark.parametrize("heat", [0.0, 1.0])
async def test_one_sample_is_plain_sampling(heat: float) -> None:
    for seed in range(5):
        one, plain = (run_on(Echo(), seed=seed, sampling=Sampling(temperature=heat)) for _ in range(2))
        scorer = Weighs(lambda text: math.nan)
        found = await SpeculativeRejection(n=1, scorer=scorer).solve(QUESTION, one)
        assert said(found, one) == said(await Sample().solve(QUESTION, plain), plain)
        assert (one.trace.shown, scorer.asked) == (plain.trace.shown, [])
    assert SpeculativeRejection(n=1).needs() == {"main": frozenset({Cap.PREFILL})}


async def test_samples_in_pieces_are_the_samples_in_one_go() -> None:
    """Whoever wins is one of the samples that best of N draws, word for word."""
    for seed in range(6):
        run, whole = run_on(Echo(), seed=seed), run_on(Echo(), seed=seed)
        solution = await SpeculativeRejection(n=4, first=3).solve(QUESTION, run)
        samples = [await Sample().solve(QUESTION, whole.quiet(slot)) for slot in range(4)]
        assert (solution.thinking, solution.answer) in [(one.thinking, one.answer) for one in samples]
        assert run.trace.tokens < whole.trace.tokens


async def test_a_sample_that_has_ended_is_ranked_with_the_others() -> None:
    def say(before: str, slot: int) -> str:
        return f"{slot}" if slot < 2 else f"{slot} " * (400 - len(before.split()))

    scores = Weighs(lambda text: {0: 9.0, 1: 0.0}.get(int(slot_of(text)), slot_of(text)))
    run = run_on(writer(say))
    solution = await SpeculativeRejection(n=4, first=10, scorer=scores).solve(QUESTION, run)
    assert (solution.answer, solution.evidence["alive"]) == ("0", "4 2 1")
    assert run.trace.tokens == 1 + 1 + 10 + 10 + 10


async def test_the_last_step_of_what_has_ended_counts_once() -> None:
    """Sample 3 has ended by the second decision, and is scored again there: its 0.9 is no reason for 0.81."""
    run = run_on(writer(lambda before, slot: "3" if slot == 3 else f"{slot} " * (400 - len(before.split()))))
    scores = Weighs(lambda text: 0.9 if text == "3" else 0.93 if slot_of(text) == 2 else 0.1)
    found = await SpeculativeRejection(n=4, first=10, scorer=scores, steps="prod").solve(QUESTION, run)
    assert (found.answer, found.evidence["alive"], found.evidence["score"]) == ("3", "4 2 1", 0.9)


async def test_what_has_ended_without_an_answer_is_dropped_first() -> None:
    run = run_on(writer(lambda before, slot: ["", "hm", "3 " * 40, "on " * 40 + "4"][slot] if not before else "4"))
    scores = Weighs(lambda text: 0.1 if "3" in text else 5.0)
    solution = await SpeculativeRejection(n=4, first=8, scorer=scores).solve(QUESTION, run)
    assert solution.answer.strip()
    assert "4" in solution.answer


async def test_the_one_that_is_left_is_shown_as_it_comes() -> None:
    run = run_on(long(40))
    await SpeculativeRejection(n=2, first=5, scorer=Weighs(slot_of)).solve(QUESTION, run)
    assert run.trace.shown[:2] == [("answer", "1 " * 5), ("answer", "1 ")]
    assert len(run.trace.shown) == 1 + 35


@pytest.mark.parametrize("budget", [0, 30, 45, 90, 400])
async def test_a_budget_lets_fewer_begin_and_one_end(budget: int) -> None:
    engine = long(40)
    run = run_on(engine, budget=budget, sampling=Sampling(max_tokens=40))
    solution = await SpeculativeRejection(n=8, first=5, scorer=Weighs(slot_of)).solve(QUESTION, run)
    assert run.trace.tokens == engine.generated <= budget
    assert solution.finish == ("budget" if budget < 40 else "length" if budget > 400 else solution.finish)
    assert len(solution.answer.split()) == min(budget, 40)


async def test_a_deadline_leaves_the_best_answer_so_far() -> None:
    def say(before: str, slot: int) -> str:
        return "" if before else f"{slot}" if slot < 2 else f"{slot} " * 400

    engine = writer(say, faults={4: Fault("stall", at=0)})
    scores = Weighs(lambda text: {0: 0.5, 1: 9.0}.get(int(slot_of(text)), slot_of(text)))
    run = run_on(engine, deadline=time.monotonic() + 0.2)
    solution = await SpeculativeRejection(n=4, first=10, scorer=scores).solve(QUESTION, run)
    assert (solution.answer, solution.finish, engine.open_streams) == ("1", "deadline", 0)
    late = run_on(long(30), deadline=time.monotonic() + 0.1)
    slow = await SpeculativeRejection(n=2, first=5, scorer=Weighs(slot_of, waits=3600)).solve(QUESTION, late)
    assert (slow.answer, slow.finish) == ("0 " * 5, "deadline")


async def test_a_scorer_that_fails_is_named_and_its_calls_are_billed() -> None:
    for scorer, message in (
        (Weighs(lambda text: math.nan), "gave NaN"),
        (Weighs(slot_of, short=2), "gave 2 scores for 4"),
    ):
        run = run_on(long(30))
        with pytest.raises(PonderError, match=message):
            await SpeculativeRejection(n=4, first=5, scorer=scorer).solve(QUESTION, run)
        assert run.trace.tokens == 4 * 5
    run = run_on(long(30))
    await SpeculativeRejection(n=4, first=5, scorer=Weighs(slot_of, call=True)).solve(QUESTION, run)
    assert run.trace.tokens_by_role["verify"] == 2


async def test_a_sample_that_fails_ends_the_others() -> None:
    engine = Echo("a " * 100, faults={1: Fault("error", at=3)})
    run = run_on(engine)
    with pytest.raises(EngineError, match="scripted failure"):
        await SpeculativeRejection(n=4, first=50, scorer=Weighs(len)).solve(QUESTION, run)
    assert (engine.open_streams, run.trace.tokens) == (0, engine.generated)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"n": 0}, "n"), ({"alpha": 1.0}, "alpha"), ({"alpha": -0.1}, "alpha"), ({"first": 0}, "first")],
)
def test_options_out_of_range_are_refused(options: dict[str, float], field: str) -> None:
    with pytest.raises(OptionError, match=f"SpeculativeRejection: {field} = .* is out of range"):
        SpeculativeRejection(**options)  # type: ignore[arg-type]
