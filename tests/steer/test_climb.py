"""Climbing by hand: what is asked, shown, billed and said on the way."""

from __future__ import annotations

import pytest
from support.votes import QUESTION, Rates

from ponder.core.engine import Cap, Think
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.vote.sample import Sample
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.scorers.verifier_prompt import VerifierPrompt
from ponder.steer.climb import MAIN, Last, Rung, climb, filled, needs_of, view_on
from ponder.text.answers import number

PLAIN = Sample(cot=False)


def engines(**texts: str) -> dict[str, Echo]:
    return {name: Echo(text, name=name, think=Think()) for name, text in texts.items()}


async def test_what_a_rung_says_is_cleaned_before_it_is_shown() -> None:
    run = Run(engines(main="so 1 #"), extract=number)
    rung = Rung(PLAIN, MAIN, Rates({"1": 1.0}), 0.5, lambda answer: answer.removesuffix(" #"))
    solution = await climb(QUESTION, run, [rung], Last(PLAIN, MAIN))
    assert solution.answer == "so 1"
    assert run.trace.shown == [("answer", "so 1")]
    assert run.trace.tokens == 3


async def test_progress_is_noted_and_each_rung_has_branches_of_its_own() -> None:
    run = Run(engines(main="so 1", strong="so 2"), extract=number)
    rungs = [Rung(PLAIN, on, Rates({"1": 0.25, "2": 0.5}), 0.75) for on in ("main", "strong")]
    await climb(QUESTION, run, rungs, Last(PLAIN, "main"), n=2)
    assert [note for note in run.trace.notes if note.startswith("rung")] == [
        "rung 1 of 3: score 0.25, needs 0.75",
        "rung 2 of 3: score 0.5, needs 0.75",
    ]
    assert [call.branch for call in run.trace.calls] == [(0, 0), (0, 1), (1, 0), (1, 1), ()]


async def test_the_score_that_decided_stays_in_the_evidence_of_the_last_rung() -> None:
    run = Run(engines(main="so 1"), extract=number)
    solution = await climb(QUESTION, run, [Rung(PLAIN, MAIN, Rates({"1": 0.25}), 0.75)], Last(PLAIN, MAIN))
    assert solution.evidence == {"score": 0.25, "route": "rung 2"}


def test_an_engine_is_named_only_where_there_are_several() -> None:
    run = Run(engines(main="a", strong="b"))
    assert view_on(run, MAIN) is run
    assert view_on(run, "strong").engine.name == "strong"
    assert view_on(view_on(run, "strong"), MAIN).engine.name == "strong"


def test_what_is_missing_is_filled_with_the_last() -> None:
    assert filled((1, 2), 4) == [1, 2, 2, 2]
    assert filled((1,), 1) == [1]


def test_needs_move_to_the_engine_of_the_rung() -> None:
    rung = Rung(PLAIN, "weak", MeanLogprob(), 0.0)
    judged = Rung(PLAIN, MAIN, VerifierPrompt("judge"), 0.0)
    assert needs_of([rung, judged], Last(PLAIN, "strong")) == {
        "weak": frozenset({Cap.LOGPROBS}),
        "main": frozenset(),
        "judge": frozenset({Cap.LOGPROBS}),
        "strong": frozenset(),
    }


@pytest.mark.parametrize("n", [1, 3])
async def test_a_verifier_that_is_the_rung_s_own_engine_is_asked_there(n: int) -> None:
    found = engines(main="so 1", strong="then 2")
    run = Run(found, extract=number)
    await climb(QUESTION, run, [Rung(PLAIN, "strong", VerifierPrompt(), -1.0)], Last(PLAIN, MAIN), n=n)
    assert found["main"].calls == 0
    assert found["strong"].calls == 2 * n
