"""Written arithmetic as chains of equalities, each simple enough to be seen at once: 347+285=547+85=627+5=632."""

from __future__ import annotations


def reckon(kind: str, a: int, b: int) -> str:
    """Return the line that works out `a` add, sub, mul or div `b`; its last equality ends with the result.

    `b` is not negative; a product takes factors that are not negative, a quotient is whole.
    """
    work = {"add": _sum, "sub": _difference, "mul": _product, "div": _quotient}[kind]
    sign = {"add": "+", "sub": "-", "mul": "×", "div": "/"}[kind]
    return "=".join([f"{a}{sign}{b}", *work(a, b)])


def _sum(a: int, b: int) -> list[str]:
    """Return what follows the first `=` of a sum."""
    if a < 0:
        return [f"{b}-{-a}", *_difference(b, -a)]
    return _in_turns(a, b, 1, "+")


def _difference(a: int, b: int) -> list[str]:
    if a < 0:
        inner = [f"{-a}+{b}", *_sum(-a, b)]
    elif a < b:
        inner = [f"{b}-{a}", *_difference(b, a)]
    else:
        return _in_turns(a, b, -1, "-")
    return [*(f"-({part})" for part in inner[:-1]), f"-{inner[-1]}"]


def _in_turns(a: int, b: int, sign: int, symbol: str) -> list[str]:
    """Take in `b` place by place, from the highest; at once where it has one place, or nothing is beyond 20."""
    parts = []
    while len(places(b)) > 1 and max(a, a + sign * b) > 20:
        high = places(b)[0]
        a, b = a + sign * high, b - high
        if b:
            parts.append(f"{a}{symbol}{b}")
    return [*parts, str(a + sign * b)]


def _product(a: int, b: int) -> list[str]:
    """Take the larger factor apart by places, and the smaller one instead where it is beyond the tables up to 20."""
    small, large = sorted((a, b))
    if small > 20 and len(places(small)) > 1:
        pieces = [(large, place) for place in places(small)]
    elif len(places(large)) > 1:
        pieces = [(place, small) for place in places(large)]
    else:
        return [str(a * b)]
    split = "+".join(f"{one}×{other}" for one, other in pieces)
    values = [one * other for one, other in pieces]
    sums = ["+".join(map(str, [sum(values[: done + 1]), *values[done + 1 :]])) for done in range(len(values))]
    return [split, *sums]


def _quotient(a: int, b: int) -> list[str]:
    """Divide place by place: 2091/17=100+391/17=120+51/17=123."""
    parts, known = [], 0
    for place in places(a // b):
        known, a = known + place, a - place * b
        parts.append(f"{known}+{a}/{b}" if a else str(known))
    return parts or ["0"]


def places(number: int) -> list[int]:
    """Return the parts of a number by decimal places, the highest first, zeros left out: 305 is 300 and 5."""
    digits = str(number)
    return [int(digit) * 10 ** (len(digits) - 1 - index) for index, digit in enumerate(digits) if digit != "0"]
