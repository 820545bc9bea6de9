"""Causal classifier: the grade's probabilities, and what happens without one."""

from __future__ import annotations

import math

import pytest

from ponder.core.engine import Cap, Logprob
from ponder.core.errors import OptionError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.routers.causal import INSTRUCTION, CausalClassifier, good_enough, prompt


def test_grades_four_and_five_are_good_enough() -> None:
    shares = {"1": 0.2, " 4": 0.3, "5]]": 0.1, "x": 0.4}
    word = Logprob("1", math.log(0.2), top=tuple((token, math.log(share)) for token, share in shares.items()))
    assert good_enough(word) == pytest.approx(0.4 / 0.6)


def test_the_token_itself_counts_where_it_is_not_among_its_rivals() -> None:
    assert good_enough(Logprob("5", math.log(0.9), top=())) == pytest.approx(1)
    assert good_enough(Logprob("2", math.log(0.9), top=())) == 0


def test_the_question_comes_before_what_is_asked_about_it() -> None:
    assert prompt("What is 2 + 3?").messages[-1].text == f"What is 2 + 3?\n\n{INSTRUCTION}"


async def rate(text: str) -> tuple[dict[str, float], Run]:
    run = Run({"main": Echo(), "router": Echo(text)})
    return dict(await CausalClassifier().rate(Problem.of("q"), run)), run


@pytest.mark.parametrize(("text", "weak"), [("[[ 5 ]]", 1.0), ("[[ 1 ]]", 0.0)])
async def test_a_grade_is_read_and_billed_as_routing(text: str, weak: float) -> None:
    ratings, run = await rate(text)
    assert ratings["strong"] == pytest.approx(1 - ratings["weak"])
    assert ratings["weak"] == pytest.approx(weak, abs=0.2)
    assert list(run.trace.tokens_by_role) == ["route"]
    assert {call.engine for call in run.trace.calls} == {run.on("router").engine.name}


async def test_without_a_grade_the_strong_choice_is_taken() -> None:
    ratings, _ = await rate("I cannot say that at all, sorry")
    assert ratings == {"weak": 0.0, "strong": 1.0}


def test_it_needs_log_probabilities_of_its_engine() -> None:
    assert CausalClassifier("judge").needs() == {"judge": frozenset({Cap.LOGPROBS})}


@pytest.mark.parametrize("choices", [("a",), ("a", "a"), ("a", "b", "c")])
def test_it_tells_two_choices_apart(choices: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="two different names"):
        CausalClassifier(choices=choices)
