from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.text.numbers import canonical, equal, last_number, normalize, numbers, spell, value

INTEGERS = st.integers(min_value=0, max_value=10**12)
CENTS = st.integers(min_value=0, max_value=10**9).map(lambda n: Fraction(n, 100))
FULL_WIDTH = str.maketrans("0123456789.,%", "０１２３４５６７８９．，％")


def grouped(text: str, mark: str) -> str:
    """Put `mark` between the thousands of an integer."""
    return f"{int(text):,}".replace(",", mark)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [
        ("18", "18"),
        ("-18", "-18"),
        ("+18", "18"),
        ("−18", "-18"),
        ("–18", "-18"),
        ("18.", "18"),
        ("18.0", "18"),
        ("18.50", "18.5"),
        (".5", "0.5"),
        ("-.5", "-0.5"),
        ("-0", "0"),
        ("007", "7"),
        ("$18", "18"),
        ("-$18", "-18"),
        ("$-18", "-18"),
        ("$ 18", "18"),
        ("€1,234.50", "1234.5"),
        ("**18**", "18"),
        ("$18$", "18"),
        ("\\$18", "18"),
        ("$\\$18$", "18"),
        ("1,234,567", "1234567"),
        ("1 234 567", "1234567"),
        ("10{,}080", "10080"),
        ("10,\\!080", "10080"),
        ("10\\,080", "10080"),
        ("１２３", "123"),
        ("１，２３４．５", "1234.5"),
        ("25%", "25%"),
        ("25\\%", "25%"),
        ("25 percent", "25%"),
        ("2.5 million", "2500000"),
        ("3万", "30000"),
        ("1.2亿", "120000000"),
        ("1.2e3", "1200"),
        ("1.2E-2", "0.012"),
        ("1.2 \\times 10^{3}", "1200"),
        ("5×10^2", "500"),
        ("3/4", "0.75"),
        ("-3/4", "-0.75"),
        ("1/3", "1/3"),
        ("2/6", "1/3"),
        ("\\frac{3}{4}", "0.75"),
        ("\\dfrac{1}{3}", "1/3"),
        ("-\\frac{3}{4}", "-0.75"),
        ("\\frac34", "0.75"),
        ("\\frac{10}7", "10/7"),
        ("\\frac1{7}", "1/7"),
        ("1 1/2", "1.5"),
        ("1\\frac{1}{2}", "1.5"),
        ("-1\\frac{1}{2}", "-1.5"),
        ("1½", "1.5"),
        ("¾", "0.75"),
        ("90^\\circ", "90"),
        ("90°", "90"),
        ("\\text{18}", "18"),
    ],
)
def test_one_spelling(text: str, spelled: str) -> None:
    assert canonical(text) == spelled


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "-",
        "$",
        "18 apples",
        "x = 18",
        "18, 20",
        "1,23",
        "1.2.3",
        "1/0",
        "abc",
        "1e999999",
        "½ + ½",
        "NaN",
        "inf",
    ],
)
def test_what_is_no_number(text: str) -> None:
    assert canonical(text) is None


@given(
    INTEGERS, st.sampled_from(["{}", "{}.", "{}.0", "{}.00", "${}", "**{}**", "\\text{{{}}}", "$\\${}$", "+{}", " {} "])
)
def test_styles_of_integers(number: int, style: str) -> None:
    assert canonical(style.format(number)) == str(number)


@given(INTEGERS, st.sampled_from([",", "{,}", ",\\!", "\\,", "，"]))
def test_thousand_separators(number: int, mark: str) -> None:
    assert canonical(grouped(str(number), mark)) == str(number)


@given(CENTS, st.booleans())
def test_decimals_in_full_width(number: Fraction, negative: bool) -> None:
    text = f"{'-' if negative else ''}{float(number):.2f}"
    expected = spell(-number if negative else number)
    assert canonical(text) == expected
    assert canonical(text.translate(FULL_WIDTH)) == expected


@given(st.integers(0, 10**6), st.integers(1, 10**6), st.booleans())
def test_fractions_have_one_spelling(top: int, bottom: int, negative: bool) -> None:
    sign = "-" if negative else ""
    spelled = canonical(f"{sign}{top}/{bottom}")
    assert spelled is not None
    assert value(spelled) == Fraction(top, bottom) * (-1 if negative else 1)
    assert canonical(f"{sign}\\frac{{{top}}}{{{bottom}}}") == spelled


@given(st.integers(0, 999), st.integers(1, 99), st.integers(2, 100))
def test_mixed_numbers(whole: int, top: int, bottom: int) -> None:
    expected = spell(whole + Fraction(top, bottom))
    assert canonical(f"{whole} {top}/{bottom}") == expected
    assert canonical(f"{whole}\\frac{{{top}}}{{{bottom}}}") == expected


@given(st.integers(-(10**6), 10**6), st.integers(-20, 20))
def test_scientific(mantissa: int, exponent: int) -> None:
    expected = spell(mantissa * Fraction(10) ** exponent)
    assert canonical(f"{mantissa}e{exponent}") == expected
    assert canonical(f"{mantissa} \\times 10^{{{exponent}}}") == expected


@given(st.fractions(max_denominator=10**6))
def test_spelling_round_trips(number: Fraction) -> None:
    assert value(spell(number)) == number
    assert canonical(spell(number)) == spell(number)
    assert equal(spell(number), spell(number))


@settings(max_examples=300)
@given(st.text(alphabet="0123456789.,/%$-+eE×^{}\\ frac万x½²()", max_size=40))
def test_no_text_breaks_it(text: str) -> None:
    spelled = canonical(text)
    if spelled is not None:
        assert canonical(spelled) == spelled
    for start, end, found in numbers(normalize(text)):
        assert start < end
        assert value(found) is not None


@given(
    INTEGERS,
    st.sampled_from(["一共有{}个苹果。", "She has {} apples.", "x={}", "({})", "小明有{}元", "It costs ${}!", "={}"]),
)
def test_text_around_a_number(number: int, sentence: str) -> None:
    assert last_number(sentence.format(number)) == str(number)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("10-3", "3"),
        ("10 - 3", "3"),
        ("x = -3", "-3"),
        ("(-3)", "-3"),
        ("from $5-$10", "10"),
        ("5 m²", "5"),
        ("5 cm^2", "5"),
        ("CO2 weighs 44 g", "44"),
        ("44 g of CO2", "44"),
        ("in 5kg bags", "5"),
        ("no numbers here", None),
        ("9/2 = 4.5", "4.5"),
        ("版本1.2.3之后是7", "7"),
    ],
)
def test_last_number(text: str, found: str | None) -> None:
    assert last_number(text) == found


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("18", "18", True),
        ("18", "-18", False),
        ("0.75", "3/4", True),
        ("50%", "50", True),
        ("50%", "0.5", True),
        ("0.5", "50", False),
        ("50%", "5", False),
        ("0.333", "1/3", True),
        ("0.3333333", "1/3", True),
        ("0.33", "1/3", False),
        ("0.667", "2/3", True),
        ("0.666", "2/3", True),
        ("0.668", "2/3", False),
        ("100000", "100001", False),
        ("0.12345", "0.123", False),
        ("18", "east", False),
    ],
)
def test_equal(a: str, b: str, same: bool) -> None:
    assert equal(a, b) is same
    assert equal(b, a) is same


def test_huge_numbers_cost_nothing() -> None:
    assert canonical("9" * 100_000) is None
    assert canonical("1e9999") is None
    assert last_number("7 and " + "9" * 5_000) == "7"
