from __future__ import annotations

import random
import re
from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import OptionError
from ponder.train.lab.addition import Addition, Sum
from ponder.train.lab.generated import Draft

_COLUMN = re.compile(r"(\d+)\+(\d+)(?:\+(\d))?=(\d+)(?: carry (\d))?(?:, (\d+))?")


def worked(a: int, b: int) -> Draft:
    return Sum(a, b).draft(random.Random(0))


def lines(draft: Draft) -> list[str]:
    return [step.text for step in draft.steps]


def total(written: list[str], width: int = 1) -> int | None:
    """Work through the lines as a reader would; return the sum they state, or None where one of them is wrong."""
    digits, carry = "", 0
    for index, line in enumerate(written):
        if (final := re.fullmatch(r"carry (\d), (\d+)", line)) is not None:
            right = index == len(written) - 1 and int(final[1]) == carry and final[2] == f"{carry}{digits}"
            return int(final[2]) if right else None
        match = _COLUMN.fullmatch(line)
        assert match is not None, line
        a, b, incoming, down, outgoing, so_far = match.groups()
        if (incoming is None) != (index == 0) or int(incoming or 0) != carry:
            return None
        value = int(a) + int(b) + carry
        carry = int(outgoing or 0)
        if carry * 10**width + int(down) != value:
            return None
        digits = down + digits
        if (so_far or down) != digits:
            return None
    return int(digits)


# Cases by hand


def test_a_final_carry_has_a_line_of_its_own_that_states_the_sum() -> None:
    assert lines(worked(94, 6)) == ["4+6=0 carry 1", "9+0+1=0 carry 1, 00", "carry 1, 100"]
    assert worked(94, 6).answer == "100"


def test_without_a_final_carry_the_last_column_states_the_sum() -> None:
    assert lines(worked(347, 285)) == ["7+5=2 carry 1", "4+8+1=3 carry 1, 32", "3+2+1=6, 632"]
    assert lines(worked(100, 5)) == ["0+5=5 carry 0", "0+0+0=0 carry 0, 05", "1+0+0=1, 105"]


def test_one_digit_each_is_one_line_or_two() -> None:
    assert lines(worked(3, 4)) == ["3+4=7"]
    assert lines(worked(7, 5)) == ["7+5=2 carry 1", "carry 1, 12"]


def test_skipping_adds_two_digits_in_one_line() -> None:
    assert worked(48, 29).skipped == ("48+29=77",)
    assert worked(347, 285).skipped == ("47+85=32 carry 1", "3+2+1=6, 632")
    assert worked(94, 6).skipped == ("94+6=00 carry 1", "carry 1, 100")
    assert worked(1205, 5).skipped == ("5+5=10 carry 0", "12+0+0=12, 1210")


def test_what_is_one_line_already_cannot_be_skipped() -> None:
    assert worked(3, 4).skipped == ()


# Any sum


@given(st.integers(1, 10**9), st.integers(1, 10**9))
def test_every_line_is_true_and_hands_its_carry_on(a: int, b: int) -> None:
    draft = worked(a, b)
    assert total(lines(draft)) == a + b == int(draft.answer)
    longer = max(len(str(a)), len(str(b)))
    assert len(draft.steps) == longer + (len(draft.answer) > longer)
    if draft.skipped:
        assert total(list(draft.skipped), width=2) == a + b
        assert len(draft.skipped) < len(draft.steps)


@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(0, 99))
def test_a_slip_makes_its_line_wrong(a: int, b: int, seed: int) -> None:
    steps = Sum(a, b).draft(random.Random(seed)).steps
    for index, step in enumerate(steps):
        written = [step.text for step in steps[:index]] + [step.slip]
        assert step.slip != step.text
        assert total([*written, *(step.text for step in steps[index + 1 :])]) is None


@given(st.integers(1, 10**6), st.integers(1, 10**6))
def test_the_sum_is_stated_by_the_last_line_alone(a: int, b: int) -> None:
    draft = worked(a, b)
    assert [index for index, line in enumerate(lines(draft)) if re.search(rf"\b{draft.answer}$", line)] == [
        len(draft.steps) - 1
    ]


# The family


def test_each_pair_of_digit_counts_has_its_turn() -> None:
    puzzles = list(Addition("1-3", seed=1).puzzles(18))
    counts = [tuple(len(part) for part in puzzle.given.split("+")) for puzzle in puzzles]
    assert counts[:9] == [(1, 1), (1, 2), (1, 3), (2, 1), (2, 2), (2, 3), (3, 1), (3, 2), (3, 3)] == counts[9:]
    assert [puzzle.difficulty for puzzle in puzzles[:9]] == [1, 2, 3, 2, 2, 3, 3, 3, 3]


def test_the_second_number_may_have_digits_of_its_own() -> None:
    for puzzle in Addition("4-7", "1-3", seed=1).puzzles(24):
        first, second = puzzle.given.split("+")
        assert 4 <= len(first) <= 7
        assert 1 <= len(second) <= 3
        assert puzzle.difficulty == len(first)


def test_the_question_says_what_is_added() -> None:
    puzzle = next(islice(Addition("3", seed=1).puzzles(), 0, None))
    assert puzzle.item.meta["question"] == f"Add {puzzle.given.replace('+', ' and ')}."
    assert puzzle.item.problem.question.endswith("Put the final answer in \\boxed{}.")


@pytest.mark.parametrize("digits", ["0", "3-1", "51", "", "a", "1-", "-1"])
def test_digits_out_of_range_are_refused(digits: str) -> None:
    with pytest.raises(
        OptionError, match=r"Addition: digits = .* must be a number from 1 to 50 or a range such as 1-3"
    ):
        Addition(digits)


def test_a_second_range_out_of_range_is_refused() -> None:
    with pytest.raises(OptionError, match="second = '0'"):
        Addition("1-3", "0")
