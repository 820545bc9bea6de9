from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Think
from ponder.core.errors import OptionError
from ponder.core.problem import Message, Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.prompt.think_for import ThinkFor
from ponder.methods.stop.budget_forcing import BudgetForcing

PLAIN, THINKS = Think(), Think("<think>", "</think>")


async def asked(method: ThinkFor, problem: Problem, think: Think = THINKS) -> tuple[Message, ...]:
    """Return the messages that reach the model."""
    seen: list[tuple[Message, ...]] = []
    echo = Echo(lambda prompt, seed: seen.append(prompt.messages) or "42", think=think)  # type: ignore[func-returns-value]
    await method.solve(problem, Run(echo))
    return seen[0]


@pytest.mark.parametrize(
    ("method", "line"),
    [
        (ThinkFor(tokens=1024), "Think for 1024 tokens."),
        (ThinkFor(tokens=1024, most=True), "Think for maximum 1024 tokens."),
    ],
)
async def test_the_papers_line_is_added_word_for_word(method: ThinkFor, line: str) -> None:
    (only,) = await asked(method, Problem.of("12 + 30?"))
    assert only.text == f"12 + 30?\n\n{line}"


@pytest.mark.parametrize(("cot", "think", "steps"), [(None, PLAIN, True), (True, THINKS, True), (False, PLAIN, False)])
async def test_steps_are_asked_for_where_the_model_does_not_think_by_itself(
    cot: bool | None, think: Think, steps: bool
) -> None:
    (only,) = await asked(ThinkFor(tokens=64, cot=cot), Problem.of("12 + 30?"), think)
    before = "Think step by step before answering.\n" if steps else ""
    assert only.text == f"12 + 30?\n\n{before}Think for 64 tokens."


async def test_a_chinese_question_is_asked_in_chinese() -> None:
    (only,) = await asked(ThinkFor(tokens=64), Problem.of("2+3等于几"))
    assert only.text == "2+3等于几\n\n请思考64个词元。"
    (only,) = await asked(ThinkFor(tokens=64, most=True), Problem.of("2+3等于几"))
    assert only.text.endswith("请最多思考64个词元。")


async def test_an_empty_question_and_a_system_message_alone_get_the_line() -> None:
    (only,) = await asked(ThinkFor(tokens=64), Problem.of(""))
    assert only.text == "Think for 64 tokens."
    system, line = await asked(ThinkFor(tokens=64), Problem("p", (Message.of("system", "Ask me."),)))
    assert (system.text, line.role, line.text) == ("Ask me.", "user", "Think for 64 tokens.")


async def test_what_was_told_stands_beside_what_the_inner_method_says() -> None:
    solution = await ThinkFor(tokens=64, inner=NoThinking()).solve(Problem.of("12 + 30?"), Run(Echo()))
    assert solution.evidence == {"how": "prefill", "told": 64}


def test_needs_are_those_of_the_inner_method() -> None:
    assert ThinkFor().needs() == {"main": frozenset()}
    assert ThinkFor(inner=BudgetForcing()).needs() == {"main": frozenset({Cap.PREFILL})}


@pytest.mark.parametrize("tokens", [0, -3])
def test_a_length_below_one_token_is_refused(tokens: int) -> None:
    with pytest.raises(OptionError, match=f"ThinkFor: tokens = {tokens} is out of range; it must be at least 1"):
        ThinkFor(tokens=tokens)
