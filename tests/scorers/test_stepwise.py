"""What scorers of steps share: the reply as it was written, and the question as searches ask it."""

from __future__ import annotations

import pytest

from ponder.core.engine import Think
from ponder.core.errors import OptionError
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.engines.echo import Echo
from ponder.methods.vote.sample import Sample
from ponder.scorers.stepwise import asked, marks, view, written
from ponder.steer.branch import root
from ponder.steer.draw import draw

THINK = Think("<think>\n", "\n</think>\n\n")
QUESTION = Problem.of("Between 12 and 99.")


def call(text: str, thinking: str, answer: str) -> Call:
    return Call("answer", "m", (), 0, text, thinking, answer)


def test_what_was_written_in_one_go_is_verbatim() -> None:
    text = "<think>\nso\n</think>\n\n5"
    assert written(call(text, "so\n", "5"), THINK) == text
    assert written(call("just 5", "", "just 5"), THINK) == "just 5"
    assert written(call("<think>\nso", "so", ""), THINK) == "<think>\nso"


def test_marks_that_joined_calls_have_lost_are_put_back() -> None:
    joined = call("so\n5", "so\n", "5")
    assert written(joined, THINK) == "<think>\nso\n</think>\n\n5"
    opened = Think("<think>\n", "\n</think>\n\n", opened=True)
    assert written(joined, opened) == "so\n</think>\n\n5"
    assert written(joined, Think()) == "so\n5"


@pytest.mark.parametrize("think", [THINK, Think()])
def test_the_question_is_asked_as_searches_ask_it(think: Think) -> None:
    engine = Echo(think=think)
    assert asked(QUESTION, engine) == root(QUESTION, Run(engine), None).prompt
    assert ("step by step" in asked(QUESTION, engine).messages[-1].text) == (not think)


async def test_a_sample_is_read_as_its_engine_wrote_it() -> None:
    run = Run(Echo())
    sample = await draw(Sample(), QUESTION, run, 0)
    text = written(sample.call, run.engine.think)
    assert text == sample.call.text
    assert text.startswith("<think>")


def test_marks_are_the_visible_parts() -> None:
    assert marks(THINK) == ("<think>", "</think>")
    assert marks(Think("", "</think>")) == ("</think>",)
    assert marks(Think()) == ()


def test_the_run_is_seen_on_the_engine_that_scores() -> None:
    run = Run({"main": Echo(name="a"), "prm": Echo(name="b")})
    assert view(run, "prm").engine.name == "b"
    assert view(run.on("prm"), "main").engine.name == "b"
    with pytest.raises(OptionError, match="no engine named 'judge'"):
        _ = view(run, "judge").engine
