from __future__ import annotations

import random
import re
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.errors import OptionError
from ponder.core.judge import Reference
from ponder.train.lab.algebra import (
    EQUALS,
    MINUS,
    OVER,
    PLUS,
    SYMBOLS,
    TIMES,
    ZERO,
    Algebra,
    Equation,
    Symbolic,
    Term,
    X,
)

A, B, C, D, F, G = SYMBOLS[:6]
PLAIN = str.maketrans(
    {X: "x", PLUS: "+", MINUS: "-", TIMES: "*", OVER: "/", EQUALS: "=", ZERO: "0"}
    | dict(zip(SYMBOLS, "ABCDFGHIJKLMP", strict=True))
)
"""The names that the symbols stand for in the paper."""


def plain(equation: Equation | str) -> str:
    return str(equation).translate(PLAIN)


def moves(equation: Equation) -> list[str]:
    return [plain(after) for after, _ in equation.moves()]


def value(side: str, values: dict[str, Fraction]) -> Fraction:
    """Work out one side of an equation in plain letters."""
    total = Fraction(0)
    for sign, term in re.findall(r"([+-]?)([A-Zx0](?:[*/][A-Zx])*)", side):
        product = Fraction(1)
        for operator, name in re.findall(r"([*/])(.)", f"*{term}"):
            product = product * values[name] if operator == "*" else product / values[name]
        total += -product if sign == "-" else product
    return total


def holds(equation: str, values: dict[str, Fraction]) -> bool:
    left, right = equation.split("=")
    return value(left, values) == value(right, values)


def values_of(answer: str, seed: int) -> dict[str, Fraction]:
    """Return numbers for all letters, of which no two sums of products agree by accident, and x as the answer says."""
    draw = random.Random(seed)
    values = {name: Fraction(draw.randint(2, 10**6), draw.randint(2, 10**6)) for name in "ABCDFGHIJKLMP"}
    values["0"] = Fraction(0)
    return values | {"x": value(answer, values)}


# Cases by hand


def test_terms_go_first_then_the_minus_then_the_divisor() -> None:
    equation = Equation((Term(True, "", ((OVER, B),)), Term(False, A), Term(False, C)), 0)
    assert plain(equation) == "-x/B+A+C=0"
    assert moves(equation) == ["-x/B+C=-A", "-x/B=-A-C", "x/B=A+C", "x=A*B+C*B"]


def test_the_factor_before_the_unknown_goes_first_then_the_rest_from_the_right_end() -> None:
    equation = Equation((Term(False, A, ((OVER, B), (TIMES, C))), Term(False, D)), 0)
    assert plain(equation) == "A*x/B*C+D=0"
    assert moves(equation) == ["A*x/B*C=-D", "x/B*C=-D/A", "x/B=-D/A/C", "x=-D/A/C*B"]


def test_a_whole_product_moves_at_once_and_terms_go_from_left_to_right() -> None:
    equation = Equation((Term(False, A, ((TIMES, B),)), Term(False, ""), Term(True, C)), 1)
    assert plain(equation) == "A*B+x-C=0"
    assert moves(equation) == ["x-C=-A*B", "x=-A*B+C"]


def test_a_slip_forgets_to_turn_a_sign_or_an_operator_round() -> None:
    equation = Equation((Term(True, "", ((OVER, B),)), Term(False, A), Term(False, C)), 0)
    slips = [plain(slip) for _, slip in equation.moves()]
    assert slips == ["-x/B+C=A", "-x/B=-A+C", "x/B=-A-C", "x=A/B+C/B"]


def test_the_symbols_are_those_of_the_paper() -> None:
    assert (X, PLUS, MINUS, TIMES, OVER, EQUALS, ZERO) == ("❤", "✰", "❀", "✾", "♪", "↔", "◯")
    assert SYMBOLS == "♋♙♏⚛☺⛭♨☘✊☕✈▣⊤"
    assert str(Equation((Term(False, ""), Term(True, A)), 0)) == "❤❀♋↔◯"


# Any equation


@settings(deadline=None, max_examples=40)
@given(st.sampled_from([Algebra(seed=5), Algebra("10-14", "10-14", 13, 5), Algebra("6-7", "6-7", seed=5)]), st.data())
def test_every_line_is_true_and_every_slip_is_not(family: Algebra, data: st.DataObject) -> None:
    puzzles = list(family.puzzles(data.draw(st.integers(1, 40))))
    puzzle = puzzles[-1]
    asked = plain(puzzle.given.rpartition(" ")[2])
    values = values_of(plain(puzzle.answer), data.draw(st.integers(0, 99)))
    assert holds(asked, values)
    for step in puzzle.steps:
        assert holds(plain(step.text), values)
        assert not holds(plain(step.slip), values)
    assert puzzle.steps[-1].text == f"{X}{EQUALS}{puzzle.answer}"
    assert [step for step in puzzle.steps if step.text.startswith(f"{X}{EQUALS}")] == [puzzle.steps[-1]]


@pytest.mark.parametrize(
    ("family", "variables", "steps"),
    [
        (Algebra(seed=1), {4, 5, 6, 7}, range(1, 6)),
        (Algebra("6-7", "6-7", seed=1), {6, 7}, range(6, 8)),
        (Algebra("10-14", "10-14", 13, 1), {10, 11, 12, 13, 14}, range(10, 15)),
    ],
)
def test_sizes_are_those_of_the_paper(family: Algebra, variables: set[int], steps: range) -> None:
    puzzles = list(family.puzzles(200))
    assert {puzzle.difficulty for puzzle in puzzles} == variables
    assert {len(puzzle.steps) for puzzle in puzzles} == set(steps)
    for puzzle in puzzles:
        known = re.findall(f"[{SYMBOLS}]", puzzle.given)
        assert len(known) == len(set(known)) == puzzle.difficulty - 1
        assert puzzle.given.count(X) == 2
        assert set(known) <= set(SYMBOLS[: family.symbols])


def test_more_variables_take_more_steps() -> None:
    lengths = {size: [0, 0] for size in (4, 5, 6, 7)}
    for puzzle in Algebra(seed=1).puzzles(800):
        lengths[puzzle.difficulty][0] += len(puzzle.steps)
        lengths[puzzle.difficulty][1] += len(puzzle.minimal)
    assert sorted(lengths.values()) == list(lengths.values())


def test_symbols_out_of_domain_come_by_option() -> None:
    text = "".join(puzzle.given for puzzle in Algebra(symbols=13, seed=1).puzzles(100))
    assert set(SYMBOLS) <= set(text)


# Options


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("1", "1"), "variables = '1'"),
        (("8", "1-5"), "symbols = 6 is out of range; it must be in 7 to 13"),
        (("4", "1-5", 14), "symbols = 14"),
        (("4-7", "6-7"), "steps = '6-7' is out of range; it must be from 4 or below, since 4 variables take no more"),
        (("4-7", "0"), "steps = '0'"),
    ],
)
def test_options_out_of_range_are_refused(options: tuple[str, str], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Algebra(*options)


# The verifier


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        (f"{A}{TIMES}{B}{PLUS}{C}{TIMES}{B}", True),
        (f"\\boxed{{{X}{EQUALS}{A}{TIMES}{B}{PLUS}{C}{TIMES}{B}}}", True),
        (f"\\boxed{{{A} {TIMES} {B} {PLUS} {C} {TIMES} {B}}}", True),
        (f"{C}{TIMES}{B}{PLUS}{A}{TIMES}{B}", True),
        (f"{B}{TIMES}{A}{PLUS}{B}{TIMES}{C}", True),
        (f"<think>\n{A}\n</think>\n\n\\boxed{{{B}{TIMES}{A}{PLUS}{B}{TIMES}{C}}}", True),
        (f"{A}{TIMES}{B}{MINUS}{C}{TIMES}{B}", False),
        (f"{A}{OVER}{B}{PLUS}{C}{TIMES}{B}", False),
        (f"{A}{TIMES}{B}", False),
        (f"{A}{TIMES}{B}{PLUS}", False),
        ("A*B+C*B", False),
        ("", False),
        (f"<think>\n{X}{EQUALS}{A}{TIMES}{B}{PLUS}{C}{TIMES}{B}", False),
    ],
)
def test_the_verifier_takes_terms_and_factors_in_any_order(reply: str, right: bool) -> None:
    reference = Reference(f"{A}{TIMES}{B}{PLUS}{C}{TIMES}{B}")
    assert Symbolic().check(reference) is None
    assert Symbolic()(reply, reference).correct is right


def test_divisors_are_no_factors_and_a_leading_minus_counts() -> None:
    reference = Reference(f"{MINUS}{A}{OVER}{B}{TIMES}{C}{PLUS}{D}")
    for reply in (
        f"{D}{MINUS}{C}{TIMES}{A}{OVER}{B}",
        f"{D}{MINUS}{A}{TIMES}{C}{OVER}{B}",
        f"{PLUS}{D}{MINUS}{C}{OVER}{B}{TIMES}{A}",
    ):
        assert Symbolic()(reply, reference).correct, reply
    for reply in (
        f"{D}{MINUS}{B}{OVER}{A}{TIMES}{C}",
        f"{D}{PLUS}{A}{OVER}{B}{TIMES}{C}",
        f"{MINUS}{D}{MINUS}{A}{OVER}{B}{TIMES}{C}",
    ):
        assert not Symbolic()(reply, reference).correct, reply


def test_two_answers_are_one_exactly_if_they_have_one_value() -> None:
    values = values_of("0", 7)
    answers = {puzzle.answer for puzzle in Algebra("2-4", seed=2).puzzles(150)}
    by_value: dict[Fraction, set[str]] = {}
    for answer in answers:
        read = Symbolic().extract(answer)
        assert read is not None
        assert value(plain(read), values) == value(plain(answer), values)
        by_value.setdefault(value(plain(answer), values), set()).add(read)
    assert all(len(read) == 1 for read in by_value.values())
    assert len(by_value) < len(answers)


def test_a_reference_that_is_no_sum_of_products_is_refused() -> None:
    assert Symbolic().check(Reference("x = 3")) is not None
