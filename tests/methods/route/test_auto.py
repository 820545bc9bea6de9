from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ponder.core.engine import Cap, Chunk, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import Solution
from ponder.core.problem import EFFORTS, Message, Problem, Prompt, Thinking, Tool
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo
from ponder.methods.route.auto import Auto
from ponder.methods.vote.self_consistency import SelfConsistency

HARD = Problem.of("Ann has 12 pens and buys 30 more, half of them red. How many are not red?")
TITLE = Problem.of("### Task:\nGenerate a short title for this conversation.\n\nuser: how do I knit?")
TOOL = Tool("f", '{"type": "function"}')


def script(prompt: Prompt, seed: int) -> str:
    """Think for sixty words, unless the thought is over or turned off."""
    off = prompt.thinking is not None and prompt.thinking.mode == "off"
    return "It is 42." if off or "</think>" in prompt.prefill else "<think>" + "so " * 60 + "</think>It is 42."


async def solve(method: Auto, problem: Problem, echo: Echo | None = None) -> Solution:
    return await method.solve(problem, Run(echo or Echo(script)))


@pytest.mark.parametrize(
    ("problem", "route", "reason"),
    [
        (TITLE, "background", "title"),
        (Problem.of("How do I knit?", system="You are a title generator for chats."), "background", "title"),
        (Problem.of("Hello!"), "trivial", "greeting"),
        (Problem.of("Thanks a lot!"), "trivial", "greeting"),
    ],
)
async def test_chores_and_trivia_are_answered_without_a_thought(problem: Problem, route: str, reason: str) -> None:
    solution = await solve(Auto(), problem)
    assert (solution.thinking, solution.answer, solution.finish) == ("", "It is 42.", "stop")
    assert solution.evidence["route"] == route
    assert reason in str(solution.evidence["reason"])
    assert (solution.evidence["exit"], solution.evidence["enforced_by"]) == ("off", "server")


async def test_everything_else_is_thought_about_within_the_bound_of_the_effort() -> None:
    solution = await solve(Auto(), HARD)
    assert solution.thinking == "so " * 60
    assert solution.evidence["route"] == "bounded"
    assert solution.evidence["budget"] == EFFORTS["high"] == 16384


@pytest.mark.parametrize(
    ("method", "thinking", "bound"),
    [
        (Auto("off"), Thinking.off(), None),
        (Auto("on"), Thinking.on(), None),
        (Auto("on", tokens=9), Thinking.budget(9), 9),
        (Auto("budget", tokens=9), Thinking.budget(9), 9),
        (Auto("budget", effort="low"), Thinking.budget(1024), 1024),
        (Auto("effort", effort="low"), Thinking.effort("low"), 1024),
        (Auto("effort", tokens=9, effort="low"), Thinking.effort("low"), 9),
        (Auto("effort", effort="none"), Thinking.off(), 0),
        (Auto("effort", effort="max"), Thinking.effort("max"), None),
    ],
)
def test_what_is_asked_for_comes_before_what_the_wording_says(
    method: Auto, thinking: Thinking, bound: int | None
) -> None:
    route = method.route(TITLE)
    assert (route.name, route.thinking, route.bound) == ("asked", thinking, bound)


@pytest.mark.parametrize(
    ("method", "thinking", "bound"),
    [
        (Auto(), Thinking.budget(16384), 16384),
        (Auto(tokens=100), Thinking.budget(100), 100),
        (Auto(effort="low"), Thinking.budget(1024), 1024),
        (Auto(effort="max"), Thinking.on(), None),
        (Auto(effort="none"), Thinking.off(), 0),
    ],
)
def test_a_bound_of_its_own_is_a_number(method: Auto, thinking: Thinking, bound: int | None) -> None:
    route = method.route(HARD)
    assert (route.name, route.thinking, route.bound) == ("bounded", thinking, bound)


def test_a_request_with_tools_is_never_trivial() -> None:
    assert Auto().route(Problem("p", (Message.of("user", "thanks"),), (TOOL,))).name == "bounded"
    assert Auto().route(Problem("p", TITLE.messages, (TOOL,))).name == "bounded"


def test_only_the_last_question_decides() -> None:
    turns = (Message.of("user", "Hello!"), Message.of("assistant", "Hi."), *HARD.messages)
    assert Auto().route(Problem("p", turns)).name == "bounded"


async def test_loops_are_closed() -> None:
    def stuck(prompt: Prompt, seed: int) -> str:
        return (
            "42." if "</think>" in prompt.prefill else "<think>" + "Wait, let me check that once again, slowly. " * 99
        )

    solution = await solve(Auto("on"), HARD, Echo(stuck))
    assert (solution.answer, solution.evidence["exit"], solution.evidence["route"]) == ("42.", "loop", "asked")


async def test_an_upstream_that_can_do_nothing_is_left_as_it_is() -> None:
    for problem in (HARD, TITLE):
        solution = await solve(Auto(), problem, Echo(script, caps=frozenset()))
        assert (solution.thinking, solution.answer) == ("so " * 60, "It is 42.")
        assert solution.evidence["enforced_by"] == "none"
        assert "nothing can bound it" in str(solution.evidence["refused"])


async def test_what_was_asked_for_in_so_many_words_is_not_dropped() -> None:
    with pytest.raises(Unsupported, match="nothing can bound it"):
        await solve(Auto("off"), HARD, Echo(script, caps=frozenset()))


async def test_a_server_that_has_no_word_for_a_number_is_left_as_it_is() -> None:
    class Labels(Echo):
        """A server with effort labels only."""

        @asynccontextmanager
        async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
            if prompt.thinking is not None and prompt.thinking.mode == "budget":
                raise Unsupported("no word for a budget")
            async with super().stream(prompt, sampling) as chunks:
                yield chunks

    engine = Labels(script, caps=frozenset({Cap.THINKING}))
    solution = await solve(Auto(), HARD, engine)
    assert (solution.answer, solution.evidence["refused"]) == ("It is 42.", "no word for a budget")
    votes = await SelfConsistency(3, inner=Auto()).solve(HARD, Run(engine))
    assert votes.evidence["votes"] == 3
    with pytest.raises(Unsupported, match="no word"):
        await solve(Auto("budget"), HARD, engine)


async def test_by_hand_where_there_is_no_switch() -> None:
    solution = await solve(Auto(tokens=8), HARD, Echo(script, caps=CAPS - {Cap.THINKING}))
    assert (solution.answer, solution.evidence["enforced_by"]) == ("It is 42.", "prefill")
    assert solution.evidence["exit"] == "budget"


async def test_a_model_that_does_not_think_answers() -> None:
    solution = await solve(Auto(), TITLE, Echo("Knitting", think=Think(), caps=frozenset()))
    assert (solution.answer, solution.evidence["route"]) == ("Knitting", "background")


def test_values_out_of_range_are_refused() -> None:
    for tokens in (-1, 0):
        with pytest.raises(OptionError, match=f"Auto: tokens = {tokens} .* at least 1; mode=off asks for no"):
            Auto(tokens=tokens)
