from __future__ import annotations

import pytest

from ponder.text import prompts
from ponder.text.prompts import DRAFTS_EN, DRAFTS_ZH, Draft, Phrase, drafts, is_chinese

PHRASES = {name: value for name, value in vars(prompts).items() if isinstance(value, Phrase)}


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
    assert "{" not in phrase.to("2 + 3", 5) + phrase.to("等于几", 5)


def test_quoted_prompts_are_word_for_word_those_of_the_papers() -> None:
    assert prompts.BE_CONCISE.en == "Be concise."
    assert prompts.ANSWER_ONLY.en == "Only give the final answer. Do not give any explanation."
    assert prompts.STEP_BY_STEP.en == "Think step by step before answering."
    assert prompts.THOUGHT_DONE.en == "Okay, I think I have finished thinking."
    assert prompts.WORD_LIMIT.to("q", 45) == "Limit the length of the answer to 45 words."
    assert prompts.MINIMUM_DRAFT.to("q", 5).endswith("minimum draft for each thinking step, with 5 words at most.")
    assert prompts.SEPARATOR.en == "Return the answer at the end of the response after a separator ####."


def test_drafts_come_in_the_language_of_the_question() -> None:
    assert drafts("What?") == DRAFTS_EN
    assert drafts("等于几") == DRAFTS_ZH
    assert len(DRAFTS_EN) == len(DRAFTS_ZH)
    assert all(is_chinese(draft.question) for draft in DRAFTS_ZH)
    assert isinstance(DRAFTS_EN[0], Draft)
