from __future__ import annotations

import re

import pytest

from ponder.tasks.arithmetic_words import WORDS


@pytest.mark.parametrize("language", WORDS)
def test_every_story_tells_its_numbers_in_order(language: str) -> None:
    for story in WORDS[language].stories:
        told = re.findall(r"\{([abc])\}", story.text)
        assert told == ["a", "b", "c"][: len(story.steps) + 1]
        assert set(re.findall(r"\{(\w)\}", story.text)) <= set("abcnmt")
        assert story.text.rstrip().endswith(("?", "？"))


def test_both_languages_know_the_same_kinds_of_story() -> None:
    kinds = [[story.steps for story in words.stories] for words in WORDS.values()]
    assert kinds[0] == kinds[1]
    assert len({story.text for words in WORDS.values() for story in words.stories}) == sum(map(len, kinds))


@pytest.mark.parametrize("language", WORDS)
def test_variety(language: str) -> None:
    words = WORDS[language]
    for group in (words.names, words.things, words.asks):
        assert len(set(group)) == len(group)
    assert len(words.names) >= 20
    assert len(words.things) >= 20
    assert all("{e}" in ask for ask in words.asks)
