"""Sums worked out as on paper, digit by digit from the right, as LearnSkip trains on them (arXiv 2411.01855)."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from ponder.train.lab.generated import Draft, Generated, Turn, span
from ponder.train.lab.puzzle import Step
from ponder.verify.number import Number

MOST = 50
"""The most digits of an operand."""


@dataclass(frozen=True, slots=True)
class Addition(Generated):
    """Two numbers are added. The difficulty is the digits of the longer one.

    `digits` is how many digits the numbers have, a number or a range; `second` is the same for the second number
    where it differs. Each pair of digit counts has its turn.
    """

    digits: str = "1-3"
    second: str = ""
    seed: int = 0
    kind: ClassVar[str] = "addition"
    verifier: ClassVar[Number] = Number()

    def __post_init__(self) -> None:
        """Refuse what is no range."""
        self._turns()

    def _turns(self) -> Sequence[Turn]:
        first = span(self, "digits", self.digits, 1, MOST)
        second = span(self, "second", self.second or self.digits, 1, MOST)
        return [(max(a, b), a, b) for a in first for b in second]

    def _draft(self, draw: random.Random, turn: Turn) -> Draft:
        a, b = (draw.randrange(10 ** (digits - 1), 10**digits) for digits in turn[1:])
        return Sum(a, b).draft(draw)


class Sum(NamedTuple):
    """Two numbers to be added."""

    a: int
    b: int

    def draft(self, draw: random.Random) -> Draft:
        """Return the question and its chains; the skipping one adds two digits of each number in one line."""
        columns, pairs = _columns(*self, 1), _columns(*self, 2)
        steps = tuple(Step(line.text, _slip(line, draw)) for line in columns)
        skipped = tuple(line.text for line in pairs) if len(pairs) < len(columns) else ()
        # Not in the words of `arithmetic`: one question must not have two minimal chains.
        return Draft(f"Add {self.a} and {self.b}.", f"{self.a}+{self.b}", steps, str(self.a + self.b), skipped)


class _Line(NamedTuple):
    """A column: what is added there, the digits put down for it, the carry if there is a next line, the sum so far."""

    terms: str
    down: str
    carry: int | None
    so_far: str

    @property
    def text(self) -> str:
        """The line as it is written; the sum so far where it says more than the digits put down."""
        if not self.down:
            return f"{self.terms}, {self.so_far}"
        carry = "" if self.carry is None else f" carry {self.carry}"
        shown = f", {self.so_far}" if self.so_far != self.down else ""
        return f"{self.terms}={self.down}{carry}{shown}"


def _columns(a: int, b: int, width: int) -> list[_Line]:
    """Return the lines of a sum whose columns are `width` digits wide; a carry out of the last has its own line."""
    base, total, so_far, carry = 10**width, a + b, "", 0
    lines: list[_Line] = []
    while a or b:
        (a, left), (b, right) = divmod(a, base), divmod(b, base)
        terms = f"{left}+{right}+{carry}" if lines else f"{left}+{right}"
        carry, value = divmod(left + right + carry, base)
        last = not (a or b or carry)
        down = str(value) if last else f"{value:0{width}}"
        so_far = down + so_far
        lines.append(_Line(terms, down, None if last else carry, so_far))
    if carry:
        lines.append(_Line(f"carry {carry}", "", None, str(total)))
    return lines


def _slip(line: _Line, draw: random.Random) -> str:
    """Return the line with a digit that is off by one, or with its last carry forgotten."""
    if not line.down:
        return f"carry 0, {line.so_far[1:]}"
    lowest = 1 if line.carry is None else 0
    wrong = draw.choice([str(int(line.down) + off) for off in (-1, 1) if lowest <= int(line.down) + off <= 9])
    return line._replace(down=wrong, so_far=wrong + line.so_far[1:]).text
