from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from ponder.core.engine import Cap, Chunk, Sampling, Think
from ponder.core.errors import Unsupported
from ponder.core.method import Solution
from ponder.core.problem import Problem, Prompt, Thinking, Tool
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo
from ponder.steer.ask import LoopWatch, Wish, ask, can_bound

QUESTION = Problem.of("What is 12 + 30?")
OFF, ON, BUDGET = Wish(Thinking.off()), Wish(Thinking.on()), Wish(Thinking.budget(4), 4)
EFFORT = Wish(Thinking.effort("low"), 4)
HAND = CAPS - {Cap.THINKING}


class Picky(Echo):
    """A server whose switch knows some modes only, as a template's switch does; it says so before anything is sent."""

    modes: tuple[str, ...] = ("off", "on")

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        if prompt.thinking is not None and prompt.thinking.mode not in self.modes:
            raise Unsupported(f"no word for {prompt.thinking.mode}")
        async with super().stream(prompt, sampling) as chunks:
            yield chunks


def script(prompt: Prompt, seed: int) -> str:
    """Think for ten words unless the thought is over or turned off."""
    if "</think>" in prompt.prefill or (prompt.thinking is not None and prompt.thinking.mode == "off"):
        return "The answer is 42."
    said = "<think>" + "so " * 10 + "</think>The answer is 42."
    return said.removeprefix(prompt.prefill) if said.startswith(prompt.prefill) else "so " * 5 + "</think>42."


async def said(engine: Echo, wish: Wish, problem: Problem = QUESTION) -> tuple[Solution, Run]:
    run = Run(engine)
    return await ask(problem, run, wish), run


@pytest.mark.parametrize(
    ("caps", "wish", "thought", "exit", "by"),
    [
        (CAPS, OFF, 0, "off", "server"),
        (CAPS, ON, 10, "natural", "server"),
        (HAND, OFF, 0, "off", "prefill"),
        (HAND, ON, 5, "natural", "prefill"),
        (HAND, BUDGET, 4, "budget", "prefill"),
        (HAND, EFFORT, 4, "budget", "prefill"),
        (HAND, Wish(), 10, "natural", "none"),
        (frozenset(), ON, 10, "natural", "none"),
    ],
)
async def test_each_wish_is_kept_in_the_way_that_the_engine_has(
    caps: frozenset[Cap], wish: Wish, thought: int, exit: str, by: str
) -> None:
    solution, run = await said(Echo(script, caps=caps), wish)
    assert solution.thinking == "so " * thought
    assert solution.answer.endswith("42.")
    assert (solution.evidence["exit"], solution.evidence["enforced_by"]) == (exit, by)
    assert solution.evidence.get("budget") == wish.bound
    assert all(call.role in ("think", "answer") for call in run.trace.calls)


@pytest.mark.parametrize("wish", [BUDGET, EFFORT])
async def test_what_the_switch_has_no_word_for_is_done_by_hand_at_no_cost(wish: Wish) -> None:
    echo = Picky(script)
    solution, run = await said(echo, wish)
    assert solution.evidence["enforced_by"] == "prefill"
    assert solution.thinking == "so " * 4
    assert run.trace.tokens == echo.generated


async def test_where_nobody_can_do_it_the_servers_own_words_are_the_error() -> None:
    echo = Picky(script, caps=frozenset({Cap.THINKING}))
    with pytest.raises(Unsupported, match="no word for budget"):
        await said(echo, BUDGET)
    assert echo.generated == 0


@pytest.mark.parametrize("wish", [OFF, BUDGET, EFFORT])
async def test_a_model_that_thinks_and_cannot_be_bounded_is_refused_in_one_sentence(wish: Wish) -> None:
    echo = Echo(script, caps=frozenset(), name="cloud")
    with pytest.raises(Unsupported, match=r"cloud thinks, and nothing can bound it.*THINKING or PREFILL"):
        await said(echo, wish)
    assert echo.calls == 0


@pytest.mark.parametrize("wish", [OFF, BUDGET, EFFORT, ON])
async def test_a_model_that_does_not_think_is_simply_asked(wish: Wish) -> None:
    solution, _ = await said(Echo("Just 42.", caps=HAND, think=Think()), wish)
    assert (solution.answer, solution.thinking, solution.evidence["enforced_by"]) == ("Just 42.", "", "none")


async def test_tools_go_with_the_servers_switch_and_never_with_a_half_written_reply() -> None:
    seen: list[Prompt] = []

    def tool_user(prompt: Prompt, seed: int) -> str:
        seen.append(prompt)
        return script(prompt, seed)

    problem = Problem("p", QUESTION.messages, (Tool("f", '{"type": "function"}'),))
    solution, _ = await said(Echo(tool_user, caps=CAPS | {Cap.TOOLS}), OFF, problem)
    assert solution.evidence["enforced_by"] == "server"
    assert [prompt.prefill for prompt in seen] == [""]
    with pytest.raises(Unsupported, match="tools and pictures"):
        await said(Echo(tool_user, caps=HAND | {Cap.TOOLS}), OFF, problem)


async def test_a_thought_that_is_cut_says_so_where_that_is_wished_in_the_language_of_the_question() -> None:
    seen: list[str] = []

    def listener(prompt: Prompt, seed: int) -> str:
        seen.append(prompt.prefill)
        return script(prompt, seed)

    told = Wish(Thinking.budget(4), 4, sentence=True)
    await said(Echo(listener, caps=HAND), told)
    await said(Echo(listener, caps=HAND), told, Problem.of("十二加三十等于几"))
    await said(Echo(listener, caps=HAND), BUDGET)
    assert seen[1].startswith("<think>\nso so so so \n\nConsidering the limited time")
    assert seen[1].endswith(".\n</think>\n\n")
    assert "时间有限" in seen[3]
    assert seen[5] == "<think>\nso so so so \n</think>\n\n"


async def test_a_loop_is_cut_where_it_began_and_answered() -> None:
    seen: list[str] = []
    phrase = "Wait, let me check the sum again: 12 + 30 = 42. "

    def loops(prompt: Prompt, seed: int) -> str:
        seen.append(prompt.prefill)
        return "42." if "</think>" in prompt.prefill else "<think>Hm: " + phrase * 50

    solution, run = await said(Echo(loops, caps=HAND), Wish(loops=True))
    assert (solution.answer, solution.finish, solution.evidence["exit"]) == ("42.", "exit", "loop")
    assert 3 < solution.thinking.count(phrase) < 12
    assert seen[1].count(phrase.strip()) == 1
    assert run.trace.tokens < 200


async def test_an_answer_that_loops_ends_there() -> None:
    reply = "The pens. " + "I will now count all of the pens again, one by one. " * 60
    solution, _ = await said(Echo(reply, think=Think()), Wish(loops=True, answers=True))
    assert (solution.finish, solution.evidence["exit"]) == ("exit", "loop")
    assert 3 < solution.answer.count("count all") < 12
    whole, _ = await said(Echo(reply, think=Think()), Wish(loops=True))
    assert (whole.answer, whole.finish) == (reply, "stop")


def test_a_watch_says_how_much_says_nothing_new() -> None:
    watch = LoopWatch()
    head, phrase = "Hm. ", "Let me look at this again from the start. "
    assert watch(head) is None
    assert watch.repeated == 0
    said = next(times for times in range(1, 50) if watch(phrase))
    assert len(phrase) * (said - 1) - 2 <= watch.repeated <= len(phrase) * (said - 1) + 8


@pytest.mark.parametrize(
    ("caps", "think", "can"),
    [(CAPS, True, True), (HAND, True, True), (frozenset(), True, False), (frozenset(), False, True)],
)
def test_what_can_be_bounded(caps: frozenset[Cap], think: bool, can: bool) -> None:
    echo = Echo("x", caps=caps, think=Think("<t>", "</t>") if think else Think())
    assert can_bound(echo, QUESTION) is can
