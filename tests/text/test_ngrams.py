from __future__ import annotations

import math

import pytest

from ponder.text.ngrams import BUCKETS, bare, hashed, known_words


def test_the_words_have_length_one_together_and_the_shape_is_apart() -> None:
    question = "How many pens has Ann?"
    whole, shape = hashed(question), hashed(question, words=False)
    words = {bucket: value - shape.get(bucket, 0.0) for bucket, value in whole.items()}
    assert math.fsum(value * value for value in words.values()) == pytest.approx(1.0)
    assert set(shape) < set(whole)
    assert all(0 <= bucket < BUCKETS for bucket in whole)


def test_numbers_and_case_make_no_other_words() -> None:
    assert hashed("Ann has 12 pens.") == hashed("ann HAS 37 pens.")
    assert hashed("Ann has 12 pens.") != hashed("Ann has a pen.")


def test_how_often_a_word_stands_there_counts_with_its_logarithm() -> None:
    once, thrice = hashed("pens"), hashed("pens pens pens")
    # Behind three equal words stand two equal pairs: weights 1 + ln 3 and 1 + ln 2.
    word, pair = 1 + math.log(3), 1 + math.log(2)
    (bucket,) = set(once) - set(hashed("pens", words=False))
    assert once[bucket] == pytest.approx(1.0)
    assert thrice[bucket] == pytest.approx(word / math.hypot(word, pair))


@pytest.mark.parametrize("question", ["", "   ", "\n", "\ud800", "??"])
def test_a_question_without_words_still_has_a_shape(question: str) -> None:
    assert hashed(question)
    assert not known_words(question)


def test_choices_and_how_to_answer_are_no_part_of_a_question() -> None:
    asked = "Which is red?\nA) a rose\n(B) the sky\nC. grass\n\nPut the letter of the right choice in \\boxed{}."
    assert bare(asked) == "Which is red?"
    assert hashed(asked) == hashed("Which is red?")
    assert bare("A car is driven.\nAnswer:") == "A car is driven."


def test_only_latin_letters_are_words_that_the_weights_may_know() -> None:
    assert known_words("What is 2 + 3?")
    assert known_words("Où est la gare?")
    assert not known_words("二加三等于几？")
    assert not known_words("Сколько будет два плюс три?")
    assert known_words("答案在这里 Which of these is it, and why would it be so?") is False


@pytest.mark.parametrize(
    ("english", "chinese"),
    [
        ("How many pens are 3 boxes of 12?", "3盒每盒12支，一共多少支笔？"),
        ("Is a whale a fish?", "鲸是鱼吗？"),
        ("Which enzyme is it?", "是哪种酶？"),
    ],
)
def test_the_shape_says_the_same_in_both_languages(english: str, chinese: str) -> None:
    here, there = hashed(english, words=False), hashed(chinese, words=False)
    shared = {bucket for bucket in here if here[bucket] == there.get(bucket) == 1.0}
    plain = hashed("Tell me of trees", words=False)
    assert any(plain.get(bucket) is None for bucket in shared), "a cue that a plain question has not"
