from __future__ import annotations

import pytest

from ponder.core.engine import Sampling, Think
from ponder.core.problem import Message, Problem, Prompt
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.vote.sample import Sample

STEP = "Think step by step before answering."


@pytest.mark.parametrize(
    ("cot", "think", "told"),
    [
        (None, False, True),
        (None, True, False),
        (True, True, True),
        (True, False, True),
        (False, False, False),
        (False, True, False),
    ],
)
async def test_only_a_model_that_does_not_think_is_told_to_unless_asked(
    cot: bool | None, think: bool, told: bool
) -> None:
    seen: list[Prompt] = []

    def script(prompt: Prompt, seed: int) -> str:
        seen.append(prompt)
        return "42"

    echo = Echo(script, think=Think("<think>", "</think>") if think else Think())
    await Sample(cot).solve(Problem.of("12 + 30?"), Run(echo))
    assert seen[0].messages == (Message.of("user", f"12 + 30?\n\n{STEP}" if told else "12 + 30?"),)


async def test_a_chinese_question_is_asked_in_chinese() -> None:
    seen: list[str] = []
    echo = Echo(lambda prompt, seed: seen.append(prompt.messages[0].text) or "5", think=Think())  # type: ignore[func-returns-value]
    await Sample().solve(Problem.of("2+3等于几"), Run(echo))
    assert seen == ["2+3等于几\n\n请先一步一步思考，再作答。"]


async def test_the_reply_is_shown_as_it_comes_without_marks() -> None:
    run = Run(Echo("<think>so then </think>It is 42"))
    solution = await Sample().solve(Problem.of("q"), run)
    assert run.trace.shown == [("think", "so "), ("think", "then "), *(("answer", t) for t in ("It ", "is ", "42"))]
    assert (solution.thinking, solution.answer, solution.finish) == ("so then ", "It is 42", "stop")


async def test_a_reply_that_hits_the_limit_says_so() -> None:
    run = Run(Echo("<think>so then maybe </think>42"), sampling=Sampling(max_tokens=3))
    solution = await Sample().solve(Problem.of("q"), run)
    assert (solution.thinking, solution.answer, solution.finish) == ("so then ", "", "length")


@pytest.mark.parametrize("stop", ["so ", "then", "think", "so then </"])
async def test_a_stop_string_in_the_thought_does_not_cost_the_answer(stop: str) -> None:
    run = Run(Echo("<think>so then </think>It is 42"), sampling=Sampling(stop=(stop,)))
    solution = await Sample().solve(Problem.of("q"), run)
    assert (solution.thinking, solution.answer, solution.finish) == ("so then ", "It is 42", "stop")


async def test_a_stop_string_in_the_answer_ends_it_and_shows_nothing_of_it() -> None:
    echo = Echo("<think>so is it </think>It is 42 is it not")
    run = Run(echo, sampling=Sampling(stop=("42 is",)))
    solution = await Sample().solve(Problem.of("q"), run)
    assert solution.answer == "It is " == "".join(text for channel, text in run.trace.shown if channel == "answer")
    assert run.trace.tokens == echo.generated == 9
