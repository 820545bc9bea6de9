from __future__ import annotations

import re
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.train.lab.reckon import places, reckon


def value(expression: str) -> Fraction:
    """Work out whole numbers with + - × / and brackets by Python's own rules, exactly."""
    assert re.fullmatch(r"[\d+×/()-]+", expression), expression
    exact = re.sub(r"\d+", lambda match: f"Fraction({match[0]})", expression.replace("×", "*"))
    return Fraction(eval(exact, {"Fraction": Fraction}))


def expect_chain(line: str, result: int) -> list[str]:
    """Return the sides of a chain of equalities, all of which must have the value of its last one."""
    sides = line.split("=")
    assert {value(side) for side in sides} == {result}
    assert sides[-1] == str(result)
    return sides


@pytest.mark.parametrize(
    ("kind", "a", "b", "line"),
    [
        ("add", 2, 3, "2+3=5"),
        ("add", 347, 285, "347+285=547+85=627+5=632"),
        ("add", -6, 10, "-6+10=10-6=4"),
        ("add", 44, 57, "44+57=94+7=101"),
        ("add", 9, 11, "9+11=20"),
        ("sub", 80, 46, "80-46=40-6=34"),
        ("sub", 3, 8, "3-8=-(8-3)=-5"),
        ("sub", -3, 8, "-3-8=-(3+8)=-11"),
        ("mul", 53, 6, "53×6=50×6+3×6=300+18=318"),
        ("mul", 9, 7, "9×7=63"),
        ("mul", 18, 19, "18×19=10×18+9×18=180+162=342"),
        ("mul", 0, 5, "0×5=0"),
        ("div", 2091, 17, "2091/17=100+391/17=120+51/17=123"),
        ("div", 44, 2, "44/2=20+4/2=22"),
    ],
)
def test_lines_written_by_hand(kind: str, a: int, b: int, line: str) -> None:
    assert reckon(kind, a, b) == line


@given(st.integers(-20_000, 20_000), st.integers(0, 20_000))
def test_sums_and_differences_are_true_in_every_part(a: int, b: int) -> None:
    expect_chain(reckon("add", a, b), a + b)
    expect_chain(reckon("sub", a, b), a - b)


@given(st.integers(0, 9999), st.integers(0, 999))
def test_products_are_true_in_every_part(a: int, b: int) -> None:
    expect_chain(reckon("mul", a, b), a * b)


@given(st.integers(0, 9999), st.integers(1, 250))
def test_quotients_are_true_in_every_part(result: int, b: int) -> None:
    expect_chain(reckon("div", result * b, b), result)


@given(st.integers(0, 10**9))
def test_places_add_up_and_have_one_digit_each(number: int) -> None:
    parts = places(number)
    assert sum(parts) == number
    assert parts == sorted(parts, reverse=True)
    assert all(len(str(part).rstrip("0")) == 1 for part in parts)


def test_places_leave_zeros_out() -> None:
    assert places(305) == [300, 5]
    assert places(0) == []
