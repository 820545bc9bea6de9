from __future__ import annotations

import pytest

from ponder.core.engine import Think
from ponder.core.errors import OptionError
from ponder.core.problem import Message, Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.prompt.chain_of_draft import ChainOfDraft
from ponder.text.prompts import DRAFTS_EN, DRAFTS_ZH
from ponder.verify.number import Number

FIRST = "Think step by step, but only keep minimum draft for each thinking step, with 5 words at most."
SECOND = "Return the answer at the end of the response after a separator ####."


async def messages(method: ChainOfDraft, problem: Problem, think: bool = False) -> tuple[Message, ...]:
    """Return the messages that reach the model."""
    seen: list[tuple[Message, ...]] = []
    echo = Echo(lambda prompt, seed: seen.append(prompt.messages) or "42", think=Think("<t>", "</t>" if think else ""))  # type: ignore[func-returns-value]
    await method.solve(problem, Run(echo))
    return seen[0]


async def test_the_papers_line_is_added_word_for_word() -> None:
    (only,) = await messages(ChainOfDraft(), Problem.of("12 + 30?"))
    assert only.text == f"12 + 30?\n\n{FIRST}"


@pytest.mark.parametrize("think", [False, True])
async def test_the_line_is_the_same_for_models_that_think_by_themselves(think: bool) -> None:
    (only,) = await messages(ChainOfDraft(words=3), Problem.of("12 + 30?"), think)
    assert only.text.endswith("with 3 words at most.")


async def test_the_papers_answer_line_is_added_when_it_is_asked_for() -> None:
    (only,) = await messages(ChainOfDraft(separator=True), Problem.of("12 + 30?"))
    assert only.text == f"12 + 30?\n\n{FIRST}\n{SECOND}"


async def test_a_chinese_question_gets_the_chinese_line_and_chinese_drafts() -> None:
    example, reply, question = await messages(ChainOfDraft(words=4, shots=1), Problem.of("2+3等于几"))
    assert question.text == "2+3等于几\n\n请一步一步思考，但每一步只保留最简短的草稿，最多4个词。"
    assert example.text == DRAFTS_ZH[0].question
    assert reply.text == "24 - 9 = 15\n15 + 6 = 21\n\\boxed{21}"


async def test_drafts_come_before_the_question_and_after_the_system_message() -> None:
    problem = Problem.of("12 + 30?", system="Be kind.")
    sent = await messages(ChainOfDraft(shots=3), problem)
    assert [m.role for m in sent] == ["system", *["user", "assistant"] * 3, "user"]
    assert sent[0].text == "Be kind."
    assert [m.text for m in sent[1:-1:2]] == [draft.question for draft in DRAFTS_EN]
    assert sent[-1].text.startswith("12 + 30?")


async def test_drafts_end_in_the_format_that_is_asked_for() -> None:
    plain = await messages(ChainOfDraft(shots=2), Problem.of("12 + 30?"))
    separated = await messages(ChainOfDraft(shots=2, separator=True), Problem.of("12 + 30?"))
    assert [m.text.splitlines()[-1] for m in plain if m.role == "assistant"] == ["\\boxed{21}", "\\boxed{56}"]
    assert [m.text.splitlines()[-1] for m in separated if m.role == "assistant"] == ["#### 21", "#### 56"]


async def test_a_conversation_without_a_question_still_gets_the_line() -> None:
    sent = await messages(ChainOfDraft(), Problem("p", (Message.of("system", "Ask me."),)))
    assert [(m.role, m.text) for m in sent] == [("system", "Ask me."), ("user", FIRST)]


@pytest.mark.parametrize("drafts", [DRAFTS_EN, DRAFTS_ZH])
def test_worked_drafts_are_right_and_keep_to_the_limit(drafts: tuple[tuple[str, str, str], ...]) -> None:
    for _, steps, answer in drafts:
        for step in steps.splitlines():
            sides = step.split("=")
            digits = "".join(letter for letter in sides[0] if letter in "0123456789+-*/ ")
            assert float(eval(digits)) == float(sides[1].split()[0])
            assert len([word for word in step.split() if word.isalpha()]) <= 5
        assert steps.split()[-1] == answer or steps.splitlines()[-1].split("= ")[1].startswith(answer)


@pytest.mark.parametrize(
    ("options", "says"),
    [({"words": 0}, "words = 0 .* at least 1"), ({"shots": 4}, "shots = 4 .* 0 to 3"), ({"shots": -1}, "0 to 3")],
)
def test_values_out_of_range_are_refused(options: dict[str, int], says: str) -> None:
    with pytest.raises(OptionError, match=f"ChainOfDraft: .*{says}"):
        ChainOfDraft(**options)


@pytest.mark.parametrize(
    ("reply", "mean"),
    [("24 - 9 = 15\n15 + 6 = 21\n#### 21", 4.0), ("So we take nine of them away first.", 8.0), ("", 0.0)],
)
async def test_the_evidence_says_how_many_words_a_line_came_to_have(reply: str, mean: float) -> None:
    solution = await ChainOfDraft(separator=True).solve(Problem.of("24 - 9 + 6?"), Run(Echo(reply, think=Think())))
    assert solution.evidence == {"words_a_line": mean}


def test_the_answer_is_what_stands_behind_the_last_separator() -> None:
    assert Number().extract("a #### 17\nb #### 18") == "18"
