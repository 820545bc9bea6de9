from __future__ import annotations

import pytest

from ponder.text import prompts
from ponder.text.prompts import (
    DRAFTS_EN,
    DRAFTS_ZH,
    STYLE_LIMITS,
    STYLES,
    WORKED_EN,
    WORKED_ZH,
    Draft,
    Phrase,
    Worked,
    drafts,
    is_chinese,
    worked,
)

PHRASES = {name: value for name, value in vars(prompts).items() if isinstance(value, Phrase)} | STYLES


@pytest.mark.parametrize(
    "text",
    [
        "2+3等于几",
        "小明有3个苹果，吃了1个，还剩几个？",
        "用 Python 计算前十个素数的和",
        "求 \\frac{1}{2} + \\sqrt{3} \\times \\left( 2 \\right) 的值",
        "解方程 x + 3 = 5",
    ],
)
def test_chinese_questions(text: str) -> None:
    assert is_chinese(text)


@pytest.mark.parametrize(
    "text",
    ["", "2 + 3", "What is 2 + 3?", "What does 你好 mean?", "りんごは何個ありますか", "Combien font 2 et 3 ?", "x = 5"],
)
def test_other_questions(text: str) -> None:
    assert not is_chinese(text)


@pytest.mark.parametrize("name", sorted(PHRASES))
def test_every_phrase_is_said_in_both_languages(name: str) -> None:
    phrase = PHRASES[name]
    assert phrase.to("What is 2 + 3?") == phrase.en
    assert phrase.to("2+3等于几") == phrase.zh
    assert is_chinese(phrase.zh)
    assert phrase.en.isascii()
    assert ("{n}" in phrase.en) == ("{n}" in phrase.zh)
    assert "{n}" not in phrase.to("2 + 3", 5) + phrase.to("等于几", 5)


def test_quoted_prompts_are_word_for_word_those_of_the_papers() -> None:
    assert prompts.BE_CONCISE.en == "Be concise."
    assert prompts.ANSWER_ONLY.en == "Only give the final answer. Do not give any explanation."
    assert prompts.STEP_BY_STEP.en == "Think step by step before answering."
    assert prompts.THOUGHT_DONE.en == "Okay, I think I have finished thinking."
    assert prompts.WORD_LIMIT.to("q", 45) == "Limit the length of the answer to 45 words."
    assert prompts.MINIMUM_DRAFT.to("q", 5).endswith("minimum draft for each thinking step, with 5 words at most.")
    assert prompts.SEPARATOR.en == "Return the answer at the end of the response after a separator ####."
    assert prompts.LETS_THINK.en == "Let's think step by step"
    assert (
        prompts.STEPS_AND_LIMIT.to("q", 30) == "let's think step by step and limit the length of the answer to 30 words"
    )
    assert prompts.REASON.en == "Let's think step by step:\n"
    assert prompts.REASON_WITHIN.to("q", 77) == "Let's think step by step and use less than 77 tokens:\n"
    assert prompts.THINK_FOR.to("q", 512) == "Think for 512 tokens."
    assert prompts.THINK_AT_MOST.to("q", 512) == "Think for maximum 512 tokens."


def test_the_estimate_is_asked_for_word_for_word_as_in_the_released_code() -> None:
    assert prompts.ESTIMATE.en == (
        "Task: Analyze the given question and estimate the minimum number of tokens required to generate a complete "
        "and accurate response. Please Give the response by strictly following this format: [[budget]],for example: "
        'Budget: [[12]].\n\nBelow is the question:\n\nQuestion: "{question}"'
    )


PUBLISHED = """
no_cot: Only give the final answer. Do not give any explanation.
default_cot: Think step by step before answering.
be_concise: Think step by step before answering, but be concise.
bullet_points: Only use bullet points. Do not use complete sentences.
only_numbers: Only use numbers or equations in your steps. Use as few words as possible.
no_spaces: Do not use any spaces or line breaks. For example, instead of 'since 20 + 4 = 24' respond with 'since20+4=24'.
no_proper_grammar: Do not use proper grammar. Avoid using connecting words like 'and', 'since', 'but', or 'then', etc.
abbreviate_words: Abbreviate words as much as possible. Remove vowels. For example, you can replace 'concept' with 'cncpt'.
word_limit: Only use {n} words for your answer.
char_limit: Only use {n} letters for your answer.
token_limit: Only use {n} tokens for your answer.
step_limit: List your steps (e.g. 'Step 1', 'Step 2', ...). Use at most {n} steps.
chinese_cot: Respond in Chinese.
chinese_cot_limit: Respond in Chinese, but use at most {n} characters.
"""  # noqa: E501


def test_the_templates_of_the_token_complexity_study_are_its_own_to_the_letter() -> None:
    assert [f"{name}: {phrase.en}" for name, phrase in STYLES.items()] == PUBLISHED.strip().splitlines()
    assert {name for name, phrase in STYLES.items() if "{n}" in phrase.en} == set(STYLE_LIMITS)
    assert len(STYLES) - len(STYLE_LIMITS) + sum(map(len, STYLE_LIMITS.values())) == 31
    assert prompts.FRAME.en == (
        "Answer the following question. {prompt}\n\nQuestion: {question}\n\nThe last line of your response should be "
        "of the following format: 'Answer: $ANSWER' (without quotes) where ANSWER is your final answer."
    )
    assert all(place in prompts.FRAME.zh for place in ("{prompt}", "{question}"))


@pytest.mark.parametrize(("question", "one"), [("What is 2 + 3?", WORKED_EN), ("2+3等于几", WORKED_ZH)])
def test_the_worked_example_says_the_same_twice_and_once_in_few_words(question: str, one: Worked) -> None:
    assert is_chinese(one.question) == is_chinese(question)
    assert 2 * len(one.brief) < len(one.full)
    assert all(step in text for text in (one.full, one.brief) for step in ("3 * 4 = 12", "20 - 12 = 8"))
    assert worked(question, "brief") == [(one.question, f"{one.brief}\n\\boxed{{8}}")]
    assert worked(question, "full") == [(one.question, f"{one.full}\n\\boxed{{8}}")]
    assert worked(question, "none") == []


def test_drafts_come_in_the_language_of_the_question() -> None:
    assert drafts("What?") == DRAFTS_EN
    assert drafts("等于几") == DRAFTS_ZH
    assert len(DRAFTS_EN) == len(DRAFTS_ZH)
    assert all(is_chinese(draft.question) for draft in DRAFTS_ZH)
    assert isinstance(DRAFTS_EN[0], Draft)
