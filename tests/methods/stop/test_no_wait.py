from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import check
from ponder.core.problem import Image, Message, Problem, Text
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo
from ponder.methods.stop.no_wait import WORDS, NoWait, spellings

QUESTION = Problem.of("What is 12 + 30?")


def test_the_papers_words() -> None:
    assert len(set(WORDS)) == len(WORDS) == 17
    assert {"wait", "alternatively", "double-check", "maybe", "any"} < set(WORDS)


def test_a_word_is_spelled_where_words_begin() -> None:
    """Not bare and small: `wait` stands in `await`."""
    assert spellings("wait") == (" wait", " Wait", "Wait")
    assert spellings("等等") == ("等等", " 等等")


async def test_the_words_are_never_said() -> None:
    echo = Echo("<think>so wait then Wait hmm done</think>So, however, 42.")
    run = Run(echo, sampling=Sampling(temperature=0))
    solution = await NoWait().solve(QUESTION, run)
    assert (solution.thinking, solution.answer) == ("so then done", "So, however, 42.")
    assert run.trace.tokens == echo.generated == 8
    # The run is handed back as it was.
    assert run.sampling == Sampling(temperature=0)


async def test_words_are_the_users() -> None:
    solution = await NoWait(words=("so",)).solve(QUESTION, Run(Echo("<think>so wait</think>42.")))
    assert solution.thinking == "wait"


async def test_pictures_and_models_without_a_thought_are_served() -> None:
    picture = Problem("p", (Message("user", (Text("What?"), Image("data:image/png;base64,"))),))
    for engine, problem in (
        (Echo("<think>wait a cat</think>A cat."), picture),
        (Echo("A cat.", think=Think()), QUESTION),
    ):
        assert (await NoWait().solve(problem, Run(engine))).answer == "A cat."


@pytest.mark.parametrize("cap", [Cap.LOGIT_BIAS, Cap.TOKEN_IDS])
def test_an_engine_that_lacks_either_is_refused(cap: Cap) -> None:
    with pytest.raises(Unsupported, match=cap.name):
        check(NoWait(), {"main": Echo(caps=CAPS - {cap})})


@pytest.mark.parametrize("words", [(), ("",), (" wait",)])
def test_words_must_be_words(words: tuple[str, ...]) -> None:
    with pytest.raises(OptionError, match="words"):
        NoWait(words=words)
