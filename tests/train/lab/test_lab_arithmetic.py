from __future__ import annotations

import re
from fractions import Fraction
from itertools import islice

import pytest

from ponder.core.errors import OptionError
from ponder.tasks.arithmetic import Arithmetic
from ponder.train.lab.arithmetic import ArithmeticFamily


def value(expression: str) -> Fraction:
    exact = re.sub(r"\d+", lambda match: f"Fraction({match[0]})", expression.replace("×", "*"))
    return Fraction(eval(exact, {"Fraction": Fraction}))


@pytest.mark.parametrize("level", [str(level) for level in range(1, 11)])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_every_step_is_true_every_slip_is_not_and_the_last_one_derives_the_answer(level: str, language: str) -> None:
    for puzzle in ArithmeticFamily(level, language, 1).puzzles(60):
        for step in puzzle.steps:
            first, *rest = step.text.split("=")
            assert rest
            assert {value(side) for side in rest} == {value(first)}
            left, right = step.slip.split("=")
            assert value(left) == value(first) != value(right)
        assert puzzle.steps[-1].text.endswith(f"={puzzle.answer}")
        assert value(puzzle.given) == int(puzzle.answer)


def test_the_questions_are_those_of_the_benchmark() -> None:
    family, task = ArithmeticFamily("1-5", "mix", 7), Arithmetic("1-5", "mix", 7)
    assert [puzzle.item for puzzle in family.puzzles(40)] == list(task.items(40)) == list(family.items(40))
    assert family.name == task.name == "arithmetic:language=mix"
    assert list(islice(family.puzzles(), 12)) == list(family.puzzles(12))


def test_the_difficulty_is_the_level_and_levels_take_turns() -> None:
    puzzles = list(ArithmeticFamily("2-4", "mix", 1).puzzles(12))
    assert [puzzle.difficulty for puzzle in puzzles] == [2, 3, 4] * 4
    assert [puzzle.language for puzzle in puzzles] == ["en"] * 3 + ["zh"] * 3 + ["en"] * 3 + ["zh"] * 3


def test_brackets_stand_where_a_story_multiplies_a_sum() -> None:
    givens = [puzzle.given for puzzle in ArithmeticFamily("3", "en", 1).puzzles(300)]
    assert any(re.fullmatch(r"\(\d+[+-]\d+\)[×/]\d+", given) for given in givens)
    assert not any("(" in given for given in givens if "×" not in given and "/" not in given)


@pytest.mark.parametrize(("level", "language"), [("0", "en"), ("11", "en"), ("1", "fr")])
def test_levels_and_languages_that_do_not_exist_are_refused(level: str, language: str) -> None:
    with pytest.raises(OptionError):
        ArithmeticFamily(level, language)
