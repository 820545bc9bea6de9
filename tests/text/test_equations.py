"""Equations of a text: which are read, which hold, and which are left alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.equations import equations


@pytest.mark.parametrize("text", [
    "12 + 30 = 42", "so 12+30=42.", "24 - 9 = 15", "3*4=12", "6×3=18", "35 / 5 = 7 each", "2 + 3 * 4 = 14",
    "3 - 5 = -2", "-2 + 5 = 3", "3 * -2 = -6", "1,200 + 34 = 1,234", "0.1 + 0.2 = 0.3", "10 / 4 = 2.5",
    "$12 + $30 = $42", "$2 \\times 3 = \\boxed{6}$", "x = 3 + 4 = 7", "7 = 3 + 4", "2 x 3 = 6", "total: 8 ÷ 2 = 4",
    "* 12 + 30 = 42", "- 2 + 3 = 5", "**2 + 3 = 5**", "67+68=135 carry 1", "3−1=2", "一共 3 + 4 = 7。",
])  # fmt: skip
def test_what_holds(text: str) -> None:
    assert equations(text) == [True]


@pytest.mark.parametrize("text", ["12 + 30 = 43", "2 + 3 * 4 = 20", "10 / 3 = 3.33", "5 / 0 = 0", "3 - 5 = 2"])
def test_what_does_not(text: str) -> None:
    assert equations(text) == [False]


@pytest.mark.parametrize("text", [
    "", "nothing", "x = 5", "5 = 5", "2x + 3 + 4 = 7", "x - 3 + 4 = 7", "(2 + 3) * 4 = 20", "(1+1)*2+1=5",
    "2^3 + 1 = 9", "2**3 + 1 = 9", "3 + 3 = 3!", "3 + 4 = 7x", "2 + 3 = 5 + x", "5 * 2 = 10%", "a3+4=7", "3 + 4 =\n7",
    "3 + = 7", "3 + 4 = y", "1 + 1 == 2", "2 + 3 = 5(1)", "n + 3 = 5", "9" * 40 + " + 1 = 2",
    "+".join(["1"] * 90) + " = 90",
])  # fmt: skip
def test_what_is_only_in_part_in_sight_is_left_alone(text: str) -> None:
    assert equations(text) == []


def test_chains_are_several_equations_and_lines_stand_alone() -> None:
    assert equations("3 + 4 = 7 = 14 / 2\n1 + 1 = 3, 2 + 2 = 4") == [True, True, False, True]


def test_modulo() -> None:
    text = "4+1=5\n5+5=3\n3-1=2\n2-4=5\n2*3=5"
    assert equations(text) == [True, False, True, False, False]
    assert equations(text, 7) == [True, True, True, True, False]


@given(st.lists(st.tuples(st.integers(-99, 99), st.sampled_from("+-*")), min_size=2, max_size=8), st.integers(-1, 1))
def test_values_are_those_of_python(terms: list[tuple[int, str]], off: int) -> None:
    text = "".join(f"{number} {sign} " for number, sign in terms)[:-2]
    assert equations(f"{text}= {eval(text) + off}") == [off == 0]


@given(st.text(st.sampled_from("0123456789 +-*/=x().,%a\n$"), max_size=60))
def test_any_text_is_read(text: str) -> None:
    assert all(isinstance(found, bool) for found in equations(text))
