from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import Solution, check
from ponder.core.problem import Image, Message, Problem, Prompt, Text
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo, Script
from ponder.methods.stop.budget_forcing import BudgetForcing

QUESTION = Problem.of("What is 12 + 30?")
OPENED = Think("<think>", "</think>", opened=True)


def stubborn(thought: str = "a b c", after: str = "d e", prompts: list[Prompt] | None = None) -> Script:
    """A model that closes its thought each time: first after `thought`, then after `after` for each word put in."""

    def script(prompt: Prompt, seed: int) -> str:
        if prompts is not None:
            prompts.append(prompt)
        prefill = prompt.prefill.removeprefix("<think>\n")
        if "</think>" in prefill:
            return " 42." if prefill.endswith(":") else "So 42."
        return f"{thought}</think>\n\nSo 42." if not prefill else f" {after}</think>\n\nSo 42."

    return script


async def solve(method: BudgetForcing, script: Script, **limits: int) -> tuple[Solution, Echo, Run]:
    echo = Echo(script, think=OPENED)
    run = Run(echo, sampling=Sampling(**limits) if limits else None)  # type: ignore[arg-type]
    return await method.solve(QUESTION, run), echo, run


@pytest.mark.parametrize("waits", [0, 1, 2, 4])
async def test_the_end_of_the_thought_is_taken_back_as_often_as_asked(waits: int) -> None:
    solution, echo, _ = await solve(BudgetForcing(waits=waits), stubborn())
    assert solution.thinking == "a b c" + "\nWait d e" * waits
    assert (solution.answer, solution.finish) == ("So 42.", "stop")
    assert solution.evidence == {"exit": "natural", "escaped": 0, "enforced_by": "prefill", "waits": waits}
    assert echo.calls == waits + 1


async def test_without_waits_and_without_a_cap_it_is_plain_decoding() -> None:
    reply = "<think>" + "so then " * 30 + "</think>\n\nThe answer is 42."
    solution, echo, run = await solve(BudgetForcing(waits=0), lambda prompt, seed: reply.removeprefix("<think>"))
    assert (solution.thinking, solution.answer) == ("so then " * 30, "The answer is 42.")
    assert (echo.calls, run.trace.tokens) == (1, echo.generated)


@pytest.mark.parametrize("cap", [0, 1, 3, 17, 60])
async def test_the_thought_never_takes_more_than_the_cap(cap: int) -> None:
    solution, echo, run = await solve(BudgetForcing(cap=cap, waits=3), stubborn("so " * 40, "then " * 10))
    assert run.trace.tokens_by_role.get("think", 0) <= cap + 1
    assert len(solution.thinking.replace("\nWait ", "").split()) <= cap
    assert solution.evidence["exit"] == ("budget" if cap < 70 else "natural")
    assert solution.evidence["budget"] == cap
    assert run.trace.tokens <= echo.generated <= run.trace.tokens + 2 * echo.calls


async def test_a_thought_that_is_cut_is_answered_as_the_paper_begins_its_answers() -> None:
    prompts: list[Prompt] = []
    solution, _, _ = await solve(BudgetForcing(cap=3), stubborn("so " * 40, prompts=prompts))
    assert prompts[-1].prefill == "so so so \n</think>\n\nFinal Answer:"
    assert (solution.answer, solution.finish) == ("Final Answer: 42.", "exit")
    bare, _, _ = await solve(BudgetForcing(cap=3, final=False), stubborn("so " * 40))
    assert bare.answer == "So 42."


async def test_what_is_put_in_is_no_token_of_the_models() -> None:
    _, echo, run = await solve(BudgetForcing(waits=3, word="Hmm"), stubborn())
    shown = "".join(text for channel, text in run.trace.shown if channel == "think")
    assert shown.count("Hmm") == 3
    assert run.trace.tokens <= echo.generated <= run.trace.tokens + 2 * echo.calls


async def test_the_replys_own_limit_leaves_room_for_an_answer() -> None:
    def endless(prompt: Prompt, seed: int) -> str:
        return "42." if "</think>" in prompt.prefill else "so " * 500

    solution, _, run = await solve(BudgetForcing(), endless, max_tokens=64)
    assert (solution.answer, solution.evidence["exit"]) == ("Final Answer:42.", "forced_close")
    assert run.trace.tokens <= 64


async def test_the_thought_is_opened_where_the_template_does_not() -> None:
    prompts: list[Prompt] = []
    await BudgetForcing(waits=0).solve(QUESTION, Run(Echo(stubborn(prompts=prompts))))
    assert prompts[0].prefill == "<think>\n"


async def test_a_model_without_a_thought_is_asked_plainly() -> None:
    solution = await BudgetForcing(cap=5).solve(QUESTION, Run(Echo("Just 42.", think=Think())))
    assert (solution.answer, solution.evidence["enforced_by"], solution.evidence["waits"]) == ("Just 42.", "none", 0)


async def test_pictures_leave_nothing_to_force() -> None:
    seen: list[Prompt] = []
    problem = Problem("p", (Message("user", (Text("What is it?"), Image("data:image/png;base64,"))),))

    def script(prompt: Prompt, seed: int) -> str:
        seen.append(prompt)
        return "<think>a cat</think>A cat."

    solution = await BudgetForcing().solve(problem, Run(Echo(script)))
    assert (solution.answer, solution.evidence["waits"]) == ("A cat.", 0)
    assert [prompt.prefill for prompt in seen] == [""]


def test_an_engine_that_continues_nothing_is_refused() -> None:
    with pytest.raises(Unsupported, match="PREFILL"):
        check(BudgetForcing(), {"main": Echo(caps=CAPS - {Cap.PREFILL})})


@pytest.mark.parametrize(
    ("options", "says"), [({"cap": -1}, "cap = -1"), ({"waits": -1}, "waits = -1"), ({"word": " "}, "word = ' '")]
)
def test_values_out_of_range_are_refused(options: dict[str, int], says: str) -> None:
    with pytest.raises(OptionError, match=says):
        BudgetForcing(**options)  # type: ignore[arg-type]
