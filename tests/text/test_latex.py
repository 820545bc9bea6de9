from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.latex import alike, formula, is_words, latex, readable, spelling


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("\\boxed{x^2}", "x^2"),
        ("\\boxed{1} and \\boxed{-2}", "1, -2"),
        ("\\boxed{0}, \\boxed{\\frac{1}{2}}, and $\\boxed{-5}$.", "0, \\frac{1}{2}, -5"),
        ("\\boxed{5}\nso \\boxed{6}", "6"),
        ("\\boxed{5}, \\boxed{5}", "5"),
        ("Answer: $x = 3$", "x = 3"),
        ("**Answer:** \\(3\\pi\\)", "3\\pi"),
        ("we get $a$ and then $b$", "b"),
        ("hence\n\\[ x = 2 \\]", "x = 2"),
        ("The ratio is 1/4.", "1/4"),
        ("The answer is 9 ways", "9 ways"),
        ("There are 23 parrots on the island.", "23"),
        ("答案是 12", "12"),
        ("$$\n2x\n$$", "2x"),
        ("<think>\\boxed{9}</think>\\boxed{8}", "8"),
        ("<think>\\boxed{9}", None),
        ("", None),
    ],
)
def test_formula(text: str, found: str | None) -> None:
    assert formula(text) == found


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ("\\dfrac{1}{2}", "\\frac12"),
        ("\\frac1{2}", "\\frac{1}{2}"),
        ("\\left( 3, 4 \\right)", "(3,4)"),
        ("11\\sqrt2", "11 \\sqrt{2}"),
        ("x^{2}", "x^2"),
        ("52_{8}", "52_8"),
        ("10,\\!080", "10080"),
        ("\\text{Evelyn}", "Evelyn"),
        ("864 \\mbox{ inches}^2", "864"),
        ("45\\, \\text{cm}", "45"),
        ("90^\\circ", "90"),
        ("2\\cdot3", "2 \\times 3"),
        ("$x$", "x"),
        ("x.", "x"),
        ("1 \\text{ and } 2", "1,2"),
        ("2π", "2\\pi"),
        ("√3", "\\sqrt{3}"),
    ],
)
def test_spellings_that_carry_no_meaning(a: str, b: str) -> None:
    assert spelling(a) == spelling(b)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("x = 5", "5", True),
        ("x \\in [-2,7]", "[-2,7]", True),
        ("f(x) = 2x", "2x", True),
        ("x = 5", "y = 5", None),
        ("14/3", "\\frac{14}{3}", True),
        ("4\\frac{2}{3}", "\\frac{14}{3}", True),
        ("4.67", "\\frac{14}{3}", False),
        ("5", "6", False),
        ("64", "64\\%", True),
        ("\\$18.90", "18.9", True),
        ("18 dollars", "18", True),
        ("C", "\\text{(C)}", True),
        ("B", "\\text{(C)}", False),
        ("EAST", "\\text{east}", True),
        ("52_8", "52_9", False),
        ("052_8", "52_8", True),
        ("x^2", "x*x", None),
        ("(1,2)", "(2,1)", None),
        ("x", "y", None),
    ],
)
def test_alike(a: str, b: str, same: bool | None) -> None:
    assert alike(a, b) is same
    assert alike(b, a) is same


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("\\text{east}", True),
        ("(C)", True),
        ("Evelyn", True),
        ("x", False),
        ("2x", False),
        ("\\pi", False),
        ("x+y", False),
    ],
)
def test_is_words(text: str, words: bool) -> None:
    assert is_words(text) is words


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\\frac{1}{2}", None),
        ("\\{1,2\\}", None),
        ("\\frac{1}{2", "braces"),
        ("}{", "braces"),
        ("", "nothing"),
        ("$$", "nothing"),
        ("\\begin{pmatrix} 1 \\end{pmatrix}", None),
        ("\\begin{pmatrix} 1", "\\begin"),
    ],
)
def test_readable(text: str, problem: str | None) -> None:
    found = readable(text)
    assert (found is None) if problem is None else (found is not None and problem in found)


def test_characters_become_latex() -> None:
    assert latex("2π ≤ √(x+1)") == "2\\pi  \\le  \\sqrt{x+1}"
    assert latex("plain") == "plain"


@given(st.text(alphabet="\\{}$ ^_()frac12,.xt=boxed", max_size=60))
def test_no_formula_breaks_it(text: str) -> None:
    assert alike(text, text) is True
    found = formula(text)
    assert found is None or found
    readable(text)
