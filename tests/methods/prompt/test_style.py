from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Think
from ponder.core.errors import OptionError
from ponder.core.problem import Image, Message, Problem, Text
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.prompt.style import Style
from ponder.methods.stop.budget_forcing import BudgetForcing
from ponder.text.prompts import STYLE_LIMITS, STYLES, Phrase

EVERY = [
    *(Style(name) for name in STYLES if name not in STYLE_LIMITS),
    *(Style(name, limit) for name, limits in STYLE_LIMITS.items() for limit in limits),
]


async def asked(method: Style, problem: Problem, think: Think = Think()) -> tuple[Message, ...]:  # noqa: B008 (frozen)
    """Return the messages that reach the model."""
    seen: list[tuple[Message, ...]] = []
    echo = Echo(lambda prompt, seed: seen.append(prompt.messages) or "42", think=think)  # type: ignore[func-returns-value]
    await method.solve(problem, Run(echo))
    return seen[0]


async def test_all_31_prompts_of_the_study_can_be_said_and_differ() -> None:
    said = [(await asked(method, Problem.of("12 + 30?")))[0].text for method in EVERY]
    assert len(set(said)) == 31
    assert all(text.startswith("12 + 30?\n\n") and "{" not in text for text in said)
    assert "12 + 30?\n\nOnly use 100 words for your answer." in said
    assert "12 + 30?\n\nRespond in Chinese, but use at most 10 characters." in said


async def test_the_line_is_the_same_for_models_that_think_by_themselves() -> None:
    problem = Problem.of("12 + 30?")
    assert await asked(Style(), problem) == await asked(Style(), problem, Think("<think>", "</think>"))


async def test_the_studys_frame_stands_around_the_question() -> None:
    (only,) = await asked(Style("only_numbers", frame=True), Problem.of("12 + 30?"))
    assert only.text == (
        "Answer the following question. Only use numbers or equations in your steps. Use as few words as possible.\n\n"
        "Question: 12 + 30?\n\nThe last line of your response should be of the following format: 'Answer: $ANSWER' "
        "(without quotes) where ANSWER is your final answer."
    )


async def test_the_frame_keeps_what_stands_around_the_question() -> None:
    system, earlier = Message.of("system", "Be kind."), Message.of("user", "Hi")
    picture = Message("user", (Text("How many {prompt}"), Image("data:,x"), Text("are {question}?")))
    sent = await asked(Style(frame=True), Problem("p", (system, earlier, picture)))
    assert sent[:2] == (system, earlier)
    assert sent[2].parts[1:] == (Image("data:,x"),)
    assert "Question: How many {prompt}\nare {question}?\n\nThe last line" in sent[2].text


async def test_the_frame_takes_an_empty_question_and_a_conversation_without_one() -> None:
    (only,) = await asked(Style(frame=True), Problem.of(""))
    assert "\n\nQuestion: \n\nThe last line" in only.text
    system, framed = await asked(Style(frame=True), Problem("p", (Message.of("system", "Ask me."),)))
    assert (system.text, framed.role, framed.text) == ("Ask me.", "user", only.text)


@pytest.mark.parametrize("method", EVERY[::4])
async def test_a_chinese_question_is_asked_in_chinese(method: Style) -> None:
    phrase: Phrase = STYLES[method.template]
    (only,) = await asked(method, Problem.of("2+3等于几"))
    assert only.text == "2+3等于几\n\n" + phrase.zh.replace("{n}", str(method.limit))
    (framed,) = await asked(Style("no_spaces", frame=True), Problem.of("2+3等于几"))
    assert framed.text.startswith("回答下面的问题。不要使用任何空格或换行。")
    assert "\n\n问题：2+3等于几\n\n" in framed.text


@pytest.mark.parametrize("question", ["りんごは何個ありますか", "Combien font 2 et 3 ?", ""])
async def test_a_question_in_another_language_or_none_is_asked_in_english(question: str) -> None:
    (only,) = await asked(Style("bullet_points"), Problem.of(question))
    assert only.text.endswith("Only use bullet points. Do not use complete sentences.")


async def test_the_inner_method_answers() -> None:
    solution = await Style("word_limit", 5, inner=NoThinking()).solve(Problem.of("12 + 30?"), Run(Echo()))
    assert solution.evidence == {"how": "prefill"}
    assert Style(inner=BudgetForcing()).needs() == {"main": frozenset({Cap.PREFILL})}


@pytest.mark.parametrize(
    ("template", "limit", "says"),
    [
        ("word_limt", None, r"there is no template = 'word_limt'; did you mean 'word_limit'\?; there are no_cot, "),
        ("word_limit", None, "template = 'word_limit' lacks its number; add limit, as in limit=50"),
        ("chinese_cot", 50, "limit = 50 has no place in template = 'chinese_cot'; leave it out"),
        ("step_limit", 0, "limit = 0 is out of range; it must be at least 1"),
    ],
)
def test_a_template_and_its_number_must_fit(template: str, limit: int | None, says: str) -> None:
    with pytest.raises(OptionError, match=f"^Style: {says}"):
        Style(template, limit)
