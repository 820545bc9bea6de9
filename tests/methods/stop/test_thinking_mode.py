from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Think
from ponder.core.errors import OptionError, Unsupported
from ponder.core.method import Solution
from ponder.core.problem import EFFORTS, Problem, Prompt
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo
from ponder.methods.stop.thinking_mode import ThinkingMode

QUESTION = Problem.of("What is 12 + 30?")
LONG = "<think>" + "so then " * 40 + "</think>\n\nThe answer is 42."
HAND = CAPS - {Cap.THINKING}
SWITCH = CAPS - {Cap.PREFILL, Cap.TOKEN_IDS}


def obedient(prompt: Prompt, seed: int) -> str:
    """A model behind a server with a switch, a budget and labels: it keeps all of them."""
    asked = prompt.thinking
    if asked is None or asked.mode == "on":
        length = 80
    elif asked.mode == "off":
        return "42."
    else:
        length = asked.tokens if asked.tokens is not None else {"low": 3, "medium": 9}[asked.label or ""]
    return "<think>" + "so " * length + "</think>\n\nThe answer is 42."


def cut(prompt: Prompt, seed: int) -> str:
    """A model that can be closed: it answers once its thought is over."""
    return (
        "The answer is 42." if "</think>" in prompt.prefill else LONG.removeprefix("<think>" if prompt.prefill else "")
    )


async def solve(method: ThinkingMode, echo: Echo, problem: Problem = QUESTION) -> tuple[Solution, Run]:
    run = Run(echo)
    return await method.solve(problem, run), run


@pytest.mark.parametrize(
    ("method", "thought", "evidence"),
    [
        (ThinkingMode("off"), 0, {"exit": "off"}),
        (ThinkingMode("on"), 80, {"exit": "natural"}),
        (ThinkingMode("budget", 5), 5, {"exit": "budget", "budget": 5}),
        (ThinkingMode("effort", effort="low"), 3, {"exit": "natural", "budget": 1024}),
        (ThinkingMode("effort", effort="none"), 0, {"exit": "off", "budget": 0}),
    ],
)
async def test_a_switch_is_used_where_there_is_one(
    method: ThinkingMode, thought: int, evidence: dict[str, float | str]
) -> None:
    solution, run = await solve(method, Echo(obedient, caps=SWITCH))
    assert solution.thinking == "so " * thought
    assert solution.answer == ("The answer is 42." if thought else "42.")
    assert solution.evidence == {"enforced_by": "server", "escaped": 0, **evidence}
    assert len(run.trace.calls) == 1


@pytest.mark.parametrize(
    ("method", "thought", "exit"),
    [
        (ThinkingMode("off"), "", "off"),
        (ThinkingMode("on"), "so then " * 40, "natural"),
        (ThinkingMode("budget", 5), "so then so then so ", "budget"),
        (ThinkingMode("effort", 5), "so then so then so ", "budget"),
        (ThinkingMode("effort", effort="minimal"), "so then " * 40, "natural"),
    ],
)
async def test_marks_are_written_where_there_is_none(method: ThinkingMode, thought: str, exit: str) -> None:
    echo = Echo(cut, caps=HAND)
    solution, run = await solve(method, echo)
    assert (solution.thinking, solution.answer) == (thought, "The answer is 42.")
    assert (solution.evidence["exit"], solution.evidence["enforced_by"]) == (exit, "prefill")
    assert run.trace.tokens == echo.generated


async def test_a_model_whose_template_opens_the_thought_is_closed_at_once() -> None:
    prompts: list[Prompt] = []

    def script(prompt: Prompt, seed: int) -> str:
        prompts.append(prompt)
        return "42."

    await solve(ThinkingMode("off"), Echo(script, caps=HAND, think=Think("<think>", "</think>", opened=True)))
    assert [prompt.prefill for prompt in prompts] == ["\n</think>\n\n"]


async def test_a_model_that_can_be_kept_from_nothing_is_refused() -> None:
    echo = Echo(cut, caps=frozenset())
    with pytest.raises(Unsupported, match="nothing can bound it"):
        await solve(ThinkingMode("off"), echo)
    assert echo.generated == 0
    solution, _ = await solve(ThinkingMode("on"), echo)
    assert solution.evidence["enforced_by"] == "none"


@pytest.mark.parametrize("effort", list(EFFORTS))
def test_a_number_beats_the_label(effort: str) -> None:
    bound = EFFORTS[effort]
    wish = ThinkingMode("budget", effort=effort)._wish()  # type: ignore[arg-type]
    assert wish.bound == bound
    assert wish.thinking is not None
    assert wish.thinking.mode == ("on" if bound is None else "budget" if bound else "off")
    assert ThinkingMode("budget", 7, effort)._wish().bound == 7  # type: ignore[arg-type]


def test_values_out_of_range_are_refused() -> None:
    for tokens in (-1, 0):
        with pytest.raises(OptionError, match=f"ThinkingMode: tokens = {tokens} .* at least 1; mode=off asks for no"):
            ThinkingMode("budget", tokens)
