r"""Equations that a text writes out, such as `12 + 30 = 42`, recomputed exactly.

What is read: whole and decimal numbers, joined by + - * / (also × · ÷ − and LaTeX's words for them, and an x between
two numbers), with the usual precedence, on one line, around one `=` or several. Dollar signs, `\boxed{}`, bold print
and the marks of lists are looked through. What stands beside letters, brackets, powers or percent signs is left alone:
part of it is not in sight.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

_LATEX = (("\\times", "×"), ("\\cdot", "·"), ("\\div", "÷"), ("$", ""), ("\\(", " "), ("\\)", " "))
_POWER = re.compile(r"(?<=[\d)])\s*\*\*(?=\s*[\d(-])")
_MARKUP = re.compile(r"\*\*|^\s*[-*•>]\s+", re.MULTILINE)
_BOX = re.compile(r"\\boxed\{([^{}]*)\}")
_TOKEN = re.compile(r"(?P<number>\d+(?:,\d{3})+(?![\d,])(?:\.\d+)?|\d+(?:\.\d+)?)|(?P<word>[^\W\d]+)|\S")
_SIGNS = {"+": "+", "-": "-", "−": "-", "–": "-", "*": "*", "×": "*", "·": "*", "/": "/", "÷": "/"}
_BREAKS = frozenset(":;,.?…。，：；、|\"'“”`#")
_DIGITS, _TERMS = 30, 64
"""Longer numbers and longer expressions are left alone: nobody writes them, and they could cost a lot."""


class _Token(NamedTuple):
    """`kind` is number, sign, word, equals or other; `loose` says that a blank stands before it."""

    kind: str
    text: str
    loose: bool


def equations(text: str, modulus: int = 0) -> list[bool]:
    """Return for each equation of a text, in order, whether it holds; with a `modulus`, whether it does modulo that."""
    for word, sign in _LATEX:
        text = text.replace(word, sign)
    text = _MARKUP.sub("", _POWER.sub("^", _BOX.sub(r"\1", text)))
    lines = text.splitlines()
    return [_equal(left, right, modulus) for line in lines if "=" in line for left, right in _pairs(line)]


def _equal(left: Sequence[_Token], right: Sequence[_Token], modulus: int) -> bool:
    try:
        difference = _value(left) - _value(right)
    except ZeroDivisionError:
        return False
    return not (difference % modulus if modulus else difference)


def _pairs(line: str) -> Iterator[tuple[list[_Token], list[_Token]]]:
    """Yield the two sides of each equation in a line, of which one at least computes something."""
    sides: list[list[_Token]] = [[]]
    for token in _tokens(line):
        if token.kind == "equals":
            sides.append([])
        else:
            sides[-1].append(token)
    for left, right in pairwise(sides):
        before, after = _ending(left), _beginning(right)
        if before and after and any(map(_joins, (before, after))):
            yield before, after


def _tokens(line: str) -> list[_Token]:
    found: list[_Token] = []
    end = 0
    for match in _TOKEN.finditer(line):
        text, loose = match[0], match.start() > end or not found
        kind = match.lastgroup or ("sign" if text in _SIGNS else "equals" if text == "=" else "other")
        found.append(_Token(kind, text, loose))
        end = match.end()
    for before, at, after in zip(range(len(found)), range(1, len(found)), range(2, len(found)), strict=False):
        if found[at].text in ("x", "X") and found[before].kind == found[after].kind == "number":
            found[at] = _Token("sign", "×", found[at].loose)
    return found


def _joins(side: Sequence[_Token]) -> bool:
    """Whether a side has an operation in it, and not a sign alone."""
    return sum(token.kind == "number" for token in side) > 1


def _ending(side: list[_Token]) -> list[_Token]:
    """Return the expression that ends a side, or nothing where it is only part of one."""
    start = len(side)
    while start and side[start - 1].kind in ("number", "sign"):
        start -= 1
    found, before = side[start:], side[start - 1] if start else None
    if before is not None and found and not (before.text in _BREAKS or (_plain(before) and found[0].loose)):
        return []
    if before is not None and found and found[0].kind == "sign" and before.text not in _BREAKS:
        return []
    return found if _whole(found) else []


def _beginning(side: list[_Token]) -> list[_Token]:
    """Return the expression that begins a side, or nothing where it goes on as something else."""
    end = 0
    while end < len(side) and side[end].kind in ("number", "sign"):
        end += 1
    found, after = side[:end], side[end] if end < len(side) else None
    if after is not None and not (after.text in _BREAKS or (_plain(after) and after.loose)):
        return []
    return found if _whole(found) else []


def _plain(token: _Token) -> bool:
    """Whether a token is a word, and not a name for a number."""
    return token.kind == "word" and len(token.text) > 1


def _whole(tokens: Sequence[_Token]) -> bool:
    """Whether tokens are an expression: numbers with one sign between, and a minus before any of them."""
    wanted, signs = True, 0
    for token in tokens:
        if token.kind == "number":
            if not wanted or len(token.text) > _DIGITS:
                return False
            wanted, signs = False, 0
        else:
            signs += 1
            if wanted and (_SIGNS[token.text] != "-" or signs > 2):
                return False
            wanted = True
    return not wanted and len(tokens) <= _TERMS


def _value(tokens: Sequence[_Token]) -> Fraction:
    """Return the value of an expression. Raises `ZeroDivisionError`."""
    terms: list[Fraction] = []
    joint, sign, wanted = "+", 1, True
    for token in tokens:
        if token.kind == "sign":
            sign, joint = (-sign, joint) if wanted else (1, _SIGNS[token.text])
            wanted = True
            continue
        number, wanted = sign * Fraction(token.text.replace(",", "")), False
        if joint in "+-":
            terms.append(number if joint == "+" else -number)
        else:
            terms[-1] = terms[-1] * number if joint == "*" else terms[-1] / number
        sign = 1
    return sum(terms, Fraction(0))
