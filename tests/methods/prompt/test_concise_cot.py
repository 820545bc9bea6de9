from __future__ import annotations

from typing import Any, Literal

import pytest

from ponder.core.engine import Cap, Think
from ponder.core.errors import OptionError
from ponder.core.problem import Message, Problem, Prompt
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.prompt.concise_cot import ConciseCoT
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.vote.sample import Sample

PLAIN = Think()
THINKS = Think("<think>", "</think>")


async def asked(method: ConciseCoT | Sample, problem: Problem, think: Think = PLAIN) -> Prompt:
    """Return the one prompt that reaches the model."""
    prompts: list[Prompt] = []

    def script(prompt: Prompt, seed: int) -> str:
        prompts.append(prompt)
        return "42"

    await method.solve(problem, Run(Echo(script, think=think)))
    (prompt,) = prompts
    return prompt


@pytest.mark.parametrize(
    ("method", "line"),
    [(ConciseCoT(), "Be concise."), (ConciseCoT(words=45), "Limit the length of the answer to 45 words.")],
)
async def test_the_prompt_is_that_of_plain_reasoning_but_for_one_line(method: ConciseCoT, line: str) -> None:
    problem = Problem.of("What is 12 + 30?")
    plain = (await asked(Sample(), problem)).messages[0].text
    concise = (await asked(method, problem)).messages[0].text
    assert plain == "What is 12 + 30?\n\nThink step by step before answering."
    assert concise == f"{plain}\n{line}"


async def test_a_model_that_thinks_by_itself_is_not_told_to() -> None:
    problem = Problem.of("What is 12 + 30?")
    assert (await asked(Sample(), problem, THINKS)).messages[0].text == "What is 12 + 30?"
    assert (await asked(ConciseCoT(), problem, THINKS)).messages[0].text == "What is 12 + 30?\n\nBe concise."


async def test_a_chinese_question_is_asked_in_chinese() -> None:
    text = (await asked(ConciseCoT(words=20), Problem.of("2+3等于几"))).messages[0].text
    assert text == "2+3等于几\n\n请先一步一步思考，再作答。\n请把回答控制在20个字以内。"
    assert (await asked(ConciseCoT(), Problem.of("2+3等于几"))).messages[0].text.endswith("\n请简明扼要。")


async def test_the_users_system_message_and_earlier_turns_are_kept() -> None:
    turns = (Message.of("system", "Be kind."), Message.of("user", "Hi"), Message.of("assistant", "Hello"))
    prompt = await asked(ConciseCoT(), Problem("p", (*turns, Message.of("user", "2+3?"))), THINKS)
    assert prompt.messages == (*turns, Message.of("user", "2+3?\n\nBe concise."))


async def test_the_inner_method_answers() -> None:
    run = Run(Echo())
    solution = await ConciseCoT(inner=NoThinking()).solve(Problem.of("What is 12 + 30?"), run)
    assert solution.evidence == {"how": "prefill"}
    assert run.trace.shown == [("answer", text) for text in ("The ", "answer ", "is ", solution.answer[14:])]


def test_needs_are_those_of_the_inner_method() -> None:
    assert ConciseCoT().needs() == {"main": frozenset()}
    assert Cap.PREFILL not in ConciseCoT(inner=NoThinking()).needs()["main"]


@pytest.mark.parametrize("words", [0, -3])
def test_a_limit_below_one_word_is_refused(words: int) -> None:
    with pytest.raises(OptionError, match=f"ConciseCoT: words = {words} is out of range; it must be at least 1"):
        ConciseCoT(words=words)


@pytest.mark.parametrize(
    ("cot", "think", "said"),
    [
        (None, Think(), "Think step by step before answering.\nBe concise."),
        (None, THINKS, "Be concise."),
        (True, THINKS, "Think step by step before answering.\nBe concise."),
        (False, Think(), "Be concise."),
    ],
)
async def test_step_by_step_is_asked_for_where_it_is_wanted(cot: bool | None, think: Think, said: str) -> None:
    text = (await asked(ConciseCoT(cot=cot), Problem.of("What is 12 + 30?"), think)).messages[0].text
    assert text == f"What is 12 + 30?\n\n{said}"


@pytest.mark.parametrize(
    ("wording", "said"),
    [
        ("line", "Think step by step before answering.\nLimit the length of the answer to 30 words."),
        ("paper", "let's think step by step and limit the length of the answer to 30 words"),
        ("code", "Let's think step by step\nLimit the length of the answer to 30 words."),
    ],
)
async def test_a_word_limit_can_be_worded_as_the_paper_and_as_its_code_do(
    wording: Literal["line", "paper", "code"], said: str
) -> None:
    text = (await asked(ConciseCoT(words=30, wording=wording), Problem.of("What is 12 + 30?"))).messages[0].text
    assert text == f"What is 12 + 30?\n\n{said}"


async def test_with_an_example_the_control_differs_in_the_line_and_the_example_alone() -> None:
    problem = Problem.of("What is 12 + 30?", system="Be kind.")
    concise = (await asked(ConciseCoT(example="brief"), problem)).messages
    control = (await asked(ConciseCoT(example="full"), problem)).messages
    assert [m.role for m in concise] == [m.role for m in control] == ["system", "user", "assistant", "user"]
    assert concise[:2] == control[:2]
    assert concise[3].text == f"{control[3].text}\nBe concise."
    assert control[3].text == "What is 12 + 30?\n\nThink step by step before answering."
    assert len(concise[2].text) < len(control[2].text)
    assert [m[2].text.splitlines()[-1] for m in (concise, control)] == ["\\boxed{8}"] * 2


async def test_an_example_comes_in_the_questions_language_and_without_a_question_too() -> None:
    example, reply, question = (await asked(ConciseCoT(example="brief"), Problem.of("2+3等于几"))).messages
    assert (example.text[:2], reply.text[:2], question.text[:5]) == ("一支", "应付", "2+3等于")
    empty = Problem("p", (Message.of("system", "Ask me."),))
    sent = (await asked(ConciseCoT(example="full", cot=False), empty)).messages
    assert [m.role for m in sent] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"wording": "paper"}, "wording = 'paper' is of a word limit; set words, as in words=45"),
        ({"example": "full", "words": 9}, "example = 'full' asks for no brevity; leave out words = 9"),
    ],
)
def test_options_that_contradict_each_other_are_refused(options: dict[str, Any], says: str) -> None:
    with pytest.raises(OptionError, match=f"ConciseCoT: {says}"):
        ConciseCoT(**options)
