from __future__ import annotations

import math
import time
from collections.abc import Mapping

import pytest
from support.votes import QUESTION, Rates

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import EngineError, OptionError
from ponder.core.method import Solution
from ponder.core.run import Run
from ponder.engines.echo import Echo, Fault
from ponder.methods import catalogue
from ponder.methods.route.cascade import Cascade
from ponder.methods.vote.sample import Sample
from ponder.scorers.agreement import Agreement
from ponder.scorers.verifier_prompt import VerifierPrompt
from ponder.text.answers import number

THREE = (Sample(cot=False), Sample(cot=False), Sample(cot=False))
SPREAD = ("main", "middle", "strong")


def says(text: str, **options: object) -> Echo:
    return Echo(text, think=Think(), **options)  # type: ignore[arg-type]


async def climb(
    method: Cascade, texts: Mapping[str, str], faults: Mapping[str, dict[int, Fault]] | None = None, **options: object
) -> tuple[Solution, Run, dict[str, Echo]]:
    """Let engines that each say one text answer, by name."""
    engines = {name: says(text, name=name, faults=(faults or {}).get(name)) for name, text in texts.items()}
    run = Run(engines, extract=number, **options)  # type: ignore[arg-type]
    return await method.solve(QUESTION, run), run, engines


RATED = Rates({"1": 0.2, "2": 0.7, "3": 0.9})
TEXTS = {"main": "so 1", "middle": "well 2", "strong": "then 3"}


@pytest.mark.parametrize(
    ("thresholds", "answer", "evidence"),
    [
        ((0.2,), "so 1", {"route": "rung 1 on main", "score": 0.2}),
        ((0.3, 0.7), "well 2", {"route": "rung 2 on middle", "score": 0.7}),
        ((0.3, 0.8), "then 3", {"route": "rung 3 on strong", "score": 0.7}),
    ],
)
async def test_the_first_answer_that_is_certain_enough_is_taken(
    thresholds: tuple[float, ...], answer: str, evidence: dict[str, object]
) -> None:
    cascade = Cascade(THREE, SPREAD, (RATED,), thresholds)
    solution, run, engines = await climb(cascade, TEXTS)
    assert (solution.answer, solution.evidence) == (answer, evidence)
    assert [text for _, text in run.trace.shown if text] in ([answer], answer.split(" ", 1) and ["then ", "3"])
    assert run.trace.tokens == sum(engine.generated for engine in engines.values())
    asked = [name for name, engine in engines.items() if engine.calls]
    assert asked == list(TEXTS)[: list(TEXTS.values()).index(answer) + 1]


async def test_the_last_rung_is_not_scored_and_streams() -> None:
    rates = Rates({"1": 0.0})
    solution, run, _ = await climb(Cascade(THREE[:2], ("main", "strong"), (rates,), (0.5,)), TEXTS)
    assert (solution.answer, rates.asked) == ("then 3", [["so 1"]])
    assert run.trace.shown == [("answer", "then "), ("answer", "3")]


async def test_extreme_thresholds_are_the_two_ends() -> None:
    for threshold, answer in ((-math.inf, "so 1"), (math.inf, "then 3")):
        cascade = Cascade(THREE[:2], ("main", "strong"), (RATED,), (threshold,))
        assert (await climb(cascade, TEXTS))[0].answer == answer


async def test_a_reply_without_an_answer_or_cut_short_is_never_certain() -> None:
    sure = Cascade(THREE[:2], ("main", "strong"), (Rates({"1": 1.0}),), (-100.0,))
    solution, _, _ = await climb(sure, {"main": "no idea", "strong": "then 3"})
    assert solution.evidence == {"route": "rung 2 on strong"}
    solution, _, _ = await climb(
        sure, {"main": "1 and so on and on", "strong": "so 3"}, sampling=Sampling(max_tokens=3)
    )
    assert (solution.answer, solution.finish) == ("so 3", "stop")


async def test_agreement_asks_for_several_samples_and_bills_them_all() -> None:
    def seeded(prompt: object, seed: int) -> str:
        return f"so {seed % 2}"

    agreed = split = 0
    for seed in range(12):
        weak, strong = Echo(seeded, think=Think()), says("then 3")
        run = Run({"main": weak, "strong": strong}, extract=number, seed=seed)
        cascade = Cascade(THREE[:2], ("main", "strong"), (Agreement(),), (1.0,), samples=3)
        solution = await cascade.solve(QUESTION, run)
        first = {call.answer for call in run.trace.calls[:3]}
        assert (weak.calls, weak.generated) == (3, 6)
        assert (solution.answer == "then 3") is (len(first) == 2)
        agreed, split = agreed + (len(first) == 1), split + (len(first) == 2)
        assert run.trace.tokens == weak.generated + strong.generated
    assert agreed
    assert split


async def test_on_one_engine_the_usual_cascade_asks_for_steps_only_where_it_is_unsure() -> None:
    for threshold, calls in ((-10.0, 1), (0.0, 2)):
        echo = Echo("so 1", think=Think())
        run = Run(echo, extract=number)
        solution = await Cascade(thresholds=(threshold,)).solve(QUESTION, run)
        assert (echo.calls, solution.evidence["route"]) == (calls, f"rung {calls}")
        own = [token.logprob for token in run.trace.calls[0].logprobs]
        assert solution.evidence["score"] == pytest.approx(sum(own) / len(own))


async def test_a_scorer_that_fails_sends_the_question_on_and_says_so() -> None:
    solution, _, _ = await climb(Cascade(THREE[:2], ("main", "strong"), (Rates({}),), (0.1,)), TEXTS)
    assert solution.answer == "then 3"
    assert solution.evidence["unscored"] == ("the scorer Rates failed (KeyError: '1'); choose another one")
    assert "score" not in solution.evidence


async def test_an_engine_that_fails_is_an_error_and_is_billed() -> None:
    for name in ("main", "strong"):
        cascade = Cascade(THREE[:2], ("main", "strong"), (RATED,), (0.5,))
        with pytest.raises(EngineError, match=f"{name}: scripted failure"):
            await climb(cascade, TEXTS, {name: {0: Fault("error", at=1)}})


async def test_a_limit_ends_the_climb_with_what_is_there() -> None:
    cascade = Cascade(THREE[:2], ("main", "strong"), (RATED,), (0.5,))
    solution, _, engines = await climb(cascade, TEXTS, budget=1)
    assert (solution.answer, solution.finish, engines["strong"].calls) == ("so ", "budget", 0)
    solution, _, _ = await climb(cascade, TEXTS, budget=3)
    assert (solution.answer, solution.finish) == ("then ", "budget")
    slow = Cascade(THREE[:2], ("main", "strong"), (Rates({}, waits=3600),), (0.5,))
    solution, _, engines = await climb(slow, TEXTS, deadline=time.monotonic() + 0.1)
    assert (solution.answer, solution.finish, engines["strong"].calls) == ("so 1", "deadline", 0)


async def test_a_cascade_within_a_cascade_takes_the_engine_that_it_is_given() -> None:
    inner = Cascade(THREE[:2], scorers=(RATED,), thresholds=(2.0,))
    cascade = Cascade((Sample(), inner), ("main", "strong"), (RATED,), (2.0,))
    assert set(cascade.needs()) == {"main", "strong"}
    solution, _, engines = await climb(cascade, TEXTS)
    assert (solution.answer, engines["main"].calls, engines["strong"].calls) == ("then 3", 1, 2)


def test_needs_are_those_of_each_rung_on_its_engine() -> None:
    assert Cascade().needs() == {"main": frozenset({Cap.LOGPROBS})}
    needs = Cascade(THREE, SPREAD, (Agreement(), VerifierPrompt("judge"))).needs()
    assert needs == {
        "main": frozenset(), "middle": frozenset(), "strong": frozenset(), "judge": frozenset({Cap.LOGPROBS})
    }  # fmt: skip


def test_a_cascade_is_written_as_toml() -> None:
    cascade = Cascade(THREE[:2], ("main", "strong"), (Agreement(), VerifierPrompt())[:1], (0.6,), samples=3)
    assert catalogue().to_config(cascade) == {
        "method": "cascade",
        "rungs": [{"method": "sample", "cot": False}] * 2,
        "on": ["main", "strong"],
        "scorers": [{"scorer": "agreement"}],
        "thresholds": [0.6],
        "samples": 3,
    }


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"rungs": (Sample(),)}, "rungs = 1 .*at least two"),
        ({"on": ()}, "on = 0"),
        ({"on": SPREAD}, "on = 3 .*1 to 2"),
        ({"scorers": (Agreement(),) * 3}, "scorers = 3 .*1 to 2, the number of rungs"),
        ({"thresholds": ()}, "thresholds = 0"),
        ({"samples": 0}, "samples|n = 0"),
        ({"temperature": -1.0}, "temperature = -1"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        Cascade(**fields)  # type: ignore[arg-type]
