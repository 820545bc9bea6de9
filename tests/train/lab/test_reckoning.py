from __future__ import annotations

import re
from fractions import Fraction

import pytest

from ponder.core.errors import OptionError
from ponder.tasks.arithmetic import FACTOR, LARGEST
from ponder.train.lab.reckoning import Reckoning


def value(expression: str) -> Fraction:
    exact = re.sub(r"\d+", lambda match: f"Fraction({match[0]})", expression.replace("×", "*"))
    return Fraction(eval(exact, {"Fraction": Fraction}))


@pytest.mark.parametrize("level", range(1, 11))
def test_every_line_is_true_and_every_slip_is_not(level: int) -> None:
    for puzzle in Reckoning(str(level), seed=1).puzzles(60):
        asked = puzzle.given.split(", ")
        assert len(puzzle.steps) == len(asked) == 8
        for operation, step in zip(asked, puzzle.steps, strict=True):
            sides = step.text.split("=")
            assert sides[0] == operation
            assert len({value(side) for side in sides}) == 1
            left, right = step.slip.split("=")
            assert left == operation
            assert value(right) != value(left)
        assert puzzle.steps[-1].text.endswith(f"={puzzle.answer}")
        assert puzzle.difficulty == level


def test_the_question_asks_for_the_last_result() -> None:
    (puzzle,) = Reckoning("1", 3, 1).puzzles(1)
    operations = puzzle.given.replace(",", ";")
    assert puzzle.item.meta["question"] == f"Work out {operations}. What is the last result?"
    assert value(puzzle.given.rpartition(", ")[2]) == int(puzzle.answer)


def test_all_four_operations_come_and_small_levels_have_no_negative_results() -> None:
    for level in ("1", "2"):
        puzzles = list(Reckoning(level, seed=1).puzzles(100))
        text = " ".join(puzzle.given for puzzle in puzzles)
        assert all(sign in text for sign in "+-×/")
        assert all(value(part) >= 0 for puzzle in puzzles for part in puzzle.given.split(", "))
    harder = " ".join(puzzle.given for puzzle in Reckoning("3", seed=1).puzzles(100))
    assert re.search(r"(^|[ ,])-\d", harder)


@pytest.mark.parametrize("level", [1, 3, 5, 10])
def test_numbers_are_as_large_as_the_level_allows(level: int) -> None:
    numbers = [int(n) for p in Reckoning(str(level), seed=1).puzzles(200) for n in re.findall(r"\d+", p.given)]
    most = max(6, LARGEST[level - 1]) * FACTOR[level - 1]
    assert 0.5 * most < max(numbers) <= most


def test_levels_take_turns() -> None:
    assert [puzzle.difficulty for puzzle in Reckoning("2-4", seed=1).puzzles(6)] == [2, 3, 4] * 2


@pytest.mark.parametrize(
    ("options", "message"),
    [(("0",), "level = '0'"), (("11",), "from 1 to 10"), (("1", 0), "lines = 0"), (("1", 101), "in 1 to 100")],
)
def test_options_out_of_range_are_refused(options: tuple[str, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Reckoning(*options)
