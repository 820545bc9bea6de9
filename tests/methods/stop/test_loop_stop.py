from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.problem import Problem, Prompt, Thinking
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo, Script
from ponder.methods.stop.loop_stop import LoopStop

QUESTION = Problem.of("What is 12 + 30?")
PHRASE = "Wait, let me check that sum once again: 12 + 30 = 42, so it is. "
SWITCH = CAPS - {Cap.PREFILL, Cap.TOKEN_IDS}


def stuck(times: int = 1000, prompts: list[Prompt] | None = None) -> Script:
    """A model that never leaves its thought, unless it is closed or turned off."""

    def script(prompt: Prompt, seed: int) -> str:
        if prompts is not None:
            prompts.append(prompt)
        if "</think>" in prompt.prefill or prompt.thinking == Thinking.off():
            return "It is 42."
        return f"<think>{PHRASE * times}"

    return script


async def test_a_thought_that_repeats_itself_is_closed_and_answered() -> None:
    prompts: list[Prompt] = []
    run = Run(Echo(stuck(prompts=prompts)), sampling=Sampling(max_tokens=4096))
    solution = await LoopStop().solve(QUESTION, run)
    assert (solution.answer, solution.finish) == ("It is 42.", "exit")
    assert solution.evidence == {"exit": "loop", "escaped": 0, "enforced_by": "none"}
    # Four times are needed to be sure, and none of them is left to answer from.
    assert 4 <= solution.thinking.count("once again") <= 8
    assert prompts[1].prefill.count("once again") == 1
    assert run.trace.tokens < 150


async def test_the_same_is_done_by_a_new_question_where_nothing_can_be_closed() -> None:
    prompts: list[Prompt] = []
    solution = await LoopStop().solve(QUESTION, Run(Echo(stuck(prompts=prompts), caps=SWITCH)))
    assert (solution.answer, solution.evidence["exit"]) == ("It is 42.", "loop")
    assert [prompt.thinking for prompt in prompts] == [None, Thinking.off()]


async def test_where_neither_is_possible_the_reply_runs_to_its_limit_and_says_so() -> None:
    run = Run(Echo(stuck(), caps=frozenset()), sampling=Sampling(max_tokens=300))
    solution = await LoopStop().solve(QUESTION, run)
    assert (solution.answer, solution.finish, solution.evidence["exit"]) == ("", "length", "length")
    assert run.trace.tokens == 300


@pytest.mark.parametrize("think", [Think(), Think("<think>", "</think>")])
async def test_a_reply_that_says_something_new_all_the_time_is_left_alone(think: Think) -> None:
    said = " ".join(f"Then {n} pens and {n * 7 % 11} more make {n + n * 7 % 11}." for n in range(80))
    whole = f"<think>{said}</think>{said}" if think else said
    run = Run(Echo(whole, think=think), sampling=Sampling(max_tokens=4096))
    solution = await LoopStop().solve(QUESTION, run)
    assert (solution.answer, solution.finish, solution.evidence["exit"]) == (said, "stop", "natural")
    assert len(run.trace.calls) == 1


async def test_an_answer_is_ended_too_unless_that_is_unwanted() -> None:
    reply = f"<think>hm</think>{PHRASE * 40}"
    solution = await LoopStop().solve(QUESTION, Run(Echo(reply)))
    assert (solution.finish, solution.evidence["exit"]) == ("exit", "loop")
    assert solution.answer.count("once again") < 10
    whole = await LoopStop(answers=False).solve(QUESTION, Run(Echo(reply)))
    assert (whole.answer, whole.finish) == (PHRASE * 40, "stop")
