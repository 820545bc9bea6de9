from __future__ import annotations

import re
import tracemalloc
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import OptionError
from ponder.core.judge import Item
from ponder.tasks.arithmetic import Arithmetic

LEVELS = [str(level) for level in range(1, 11)]


def value(text: str) -> int:
    """Work out an expression of whole numbers with `+`, `-` and `×` by hand."""
    total = 0
    for sign, term in re.findall(r"([+-]?)\s*(\d+(?: × \d+)*)", text):
        product = 1
        for factor in term.split(" × "):
            product *= int(factor)
        total += -product if sign == "-" else product
    return total


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("language", ["en", "zh"])
def test_answers_are_right(level: str, language: str) -> None:
    kinds = set()
    for one in Arithmetic(level, language).items(120):
        assert one.reference is not None
        kinds.add(one.meta["kind"])
        question = one.meta["question"]
        if one.meta["kind"] in ("sum", "chain"):
            expression = re.search(r"\d[\d +×-]*\d|\d", question)
            assert expression is not None
            assert int(one.reference.text) == value(expression[0])
        else:
            assert int(one.reference.text) >= 0
            assert reachable([int(n) for n in re.findall(r"\d+", question)], int(one.reference.text))
            assert "{" not in question
    assert kinds == {"sum", "chain", "one_step", "two_step"}


def reachable(operands: list[int], answer: int) -> bool:
    """Whether one of the four operations between neighbours, from the left, gives the answer."""
    results = {operands[0]}
    for operand in operands[1:]:
        results = {
            result
            for left in results
            for result in (
                left + operand,
                left - operand,
                left * operand,
                left // operand if left % operand == 0 else -1,
            )
        }
    return answer in results


@given(
    st.integers(0, 2**40),
    st.sampled_from(["1", "7", "1-5", "3-10"]),
    st.sampled_from(["en", "zh", "mix"]),
    st.integers(0, 30),
)
def test_fewer_questions_are_a_beginning_of_more(seed: int, level: str, language: str, limit: int) -> None:
    task = Arithmetic(level, language, seed)
    assert list(task.items(limit)) == list(islice(task.items(), limit))
    assert list(task.items(limit)) == list(Arithmetic(level, language, seed).items(limit))


def test_without_a_limit_it_asks_a_thousand() -> None:
    assert len(list(Arithmetic().items())) == 1000
    assert len(list(Arithmetic().items(1003))) == 1003


def test_a_question_depends_on_seed_level_language_and_number_alone() -> None:
    mixed = list(Arithmetic("1-5").items(40))
    third: list[Item] = list(Arithmetic("3").items(40))
    assert [one for one in mixed if one.meta["level"] == "3"] == third[2::5]


def test_other_seeds_are_other_questions() -> None:
    first, second = ({one.meta["question"] for one in Arithmetic("4-10", seed=seed).items(100)} for seed in (0, 1))
    assert len(first) == 100
    assert len(first & second) < 5


def test_ids_are_unique_and_say_where_a_question_comes_from() -> None:
    items = list(Arithmetic("2-3", "mix", 5).items(50))
    assert len({one.problem.id for one in items}) == 50
    assert [one.problem.id for one in items[:5]] == [
        "arithmetic-s5-l2-en-0",
        "arithmetic-s5-l3-en-1",
        "arithmetic-s5-l2-zh-2",
        "arithmetic-s5-l3-zh-3",
        "arithmetic-s5-l2-en-4",
    ]


def test_these_questions_stay_as_they_are() -> None:
    fixed = {
        one.problem.id: (one.meta["question"], one.reference.text)
        for task in (Arithmetic("1"), Arithmetic("6", "zh"))
        for one in task.items(2)
        if one.reference
    }
    assert fixed == FIXED


FIXED = {
    "arithmetic-s0-l1-en-0": ("A shop had 5 bricks. It sold 3 of them. How many bricks remain?", "2"),
    "arithmetic-s0-l1-en-1": (
        "Kira had 5 seeds, bought 3 more and then lost 2. How many seeds does Kira have in the end?",
        "6",
    ),
    "arithmetic-s0-l6-zh-0": ("小燕有321本书，送给小华171本书。小燕还剩多少本书？", "150"),
    "arithmetic-s0-l6-zh-1": ("郑爽有343张邮票，刘洋有46张邮票，另一个朋友有315张邮票。三人一共有多少张邮票？", "704"),
}


def test_difficulty_grows() -> None:
    lengths = [
        sum(len(re.findall(r"\d", one.meta["question"])) for one in Arithmetic(level).items(200)) for level in LEVELS
    ]
    assert lengths == sorted(lengths)
    assert lengths[-1] > 4 * lengths[0]


def test_the_form_of_the_answer_is_asked_for_in_the_language_of_the_question() -> None:
    english, chinese = next(Arithmetic("1").items()), next(Arithmetic("1", "zh").items())
    assert english.problem.question.endswith("\n\nPut the final answer in \\boxed{}.")
    assert chinese.problem.question.endswith("\n\n请把最终答案写在 \\boxed{} 里。")


@pytest.mark.parametrize("level", ["0", "11", "5-3", "a", "", "1-", "-1", "1-11", "1.5"])
def test_levels_that_do_not_exist(level: str) -> None:
    with pytest.raises(OptionError, match=r"level = .* must be a number from 1 to 10"):
        Arithmetic(level)


def test_languages_that_do_not_exist() -> None:
    with pytest.raises(OptionError, match=r"language = 'fr'"):
        Arithmetic(language="fr")


def test_many_questions_take_no_memory() -> None:
    items = Arithmetic().items(5_000)
    next(items)
    tracemalloc.start()
    count = sum(1 for _ in items)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 4_999
    assert peak < 500_000
