"""Linear equations in made-up symbols, solved move by move as LearnSkip trains on them (arXiv 2411.01855)."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from ponder.core.errors import require
from ponder.text.answers import stated
from ponder.train.lab.generated import Draft, Generated, Turn, span
from ponder.train.lab.puzzle import Step
from ponder.verify.base import Base

X, PLUS, MINUS, TIMES, OVER, EQUALS, ZERO = "❤✰❀✾♪↔◯"
SYMBOLS = "♋♙♏⚛☺⛭♨☘✊☕✈▣⊤"
"""What stands for the known quantities; the first six are in domain."""
_TERM = re.compile(rf"[{SYMBOLS}](?:[{TIMES}{OVER}][{SYMBOLS}])*")
_SIDE = re.compile(rf"[{PLUS}{MINUS}]?{_TERM.pattern}(?:[{PLUS}{MINUS}]{_TERM.pattern})*")


@dataclass(frozen=True, slots=True)
class Term:
    """A signed product: the symbol before the unknown, or the first one of a term without it, then the rest of it."""

    negative: bool
    before: str
    tail: tuple[tuple[str, str], ...] = ()

    def behind(self, unknown: bool) -> str:
        """Return the term without its sign; with the unknown in it, behind the symbol that stands before it."""
        head = f"{self.before}{TIMES}{X}" if unknown and self.before else X if unknown else self.before
        return head + "".join(operator + symbol for operator, symbol in self.tail)

    def times(self, operator: str, symbol: str) -> Term:
        """Return the term multiplied or divided by a symbol."""
        return replace(self, tail=(*self.tail, (operator, symbol)))

    def flipped(self) -> Term:
        """Return the term with the other sign."""
        return replace(self, negative=not self.negative)


@dataclass(frozen=True, slots=True)
class Equation:
    """Terms on the left, the unknown in the one at `at`, and terms on the right; no term there means zero."""

    left: tuple[Term, ...]
    at: int
    right: tuple[Term, ...] = ()

    def __str__(self) -> str:
        """The equation in symbols."""
        left = "".join(_signed(term, index == self.at, index == 0) for index, term in enumerate(self.left))
        return f"{left}{EQUALS}{self.answer}"

    @property
    def answer(self) -> str:
        """The right-hand side."""
        return "".join(_signed(term, False, index == 0) for index, term in enumerate(self.right)) or ZERO

    def moves(self) -> Iterator[tuple[Equation, Equation]]:
        """Yield the equation after each move, and what a slip makes of it: a sign or an operator not turned round.

        First the other terms go to the right, then a leading minus goes, then what multiplies or divides the unknown:
        the symbol before it, and the rest from the right end inwards.
        """
        now = self
        while (step := now._step()) is not None:
            now, slip = step
            yield now, slip

    def _step(self) -> tuple[Equation, Equation] | None:
        if len(self.left) > 1:
            return self._without_term(1 if self.at == 0 else 0)
        (term,) = self.left
        if term.negative:
            slip = Equation((term.flipped(),), 0, self.right)
            return replace(slip, right=tuple(other.flipped() for other in self.right)), slip
        if term.before:
            return self._without_factor(replace(term, before=""), TIMES, term.before)
        if term.tail:
            return self._without_factor(replace(term, tail=term.tail[:-1]), *term.tail[-1])
        return None

    def _without_term(self, index: int) -> tuple[Equation, Equation]:
        term, rest = self.left[index], self.left[:index] + self.left[index + 1 :]
        moved = Equation(rest, self.at - (index < self.at), (*self.right, term.flipped()))
        return moved, replace(moved, right=(*self.right, term))

    def _without_factor(self, term: Term, operator: str, symbol: str) -> tuple[Equation, Equation]:
        inverse = OVER if operator == TIMES else TIMES
        right, wrong = (tuple(other.times(o, symbol) for other in self.right) for o in (inverse, operator))
        return Equation((term,), 0, right), Equation((term,), 0, wrong)


def _signed(term: Term, unknown: bool, first: bool) -> str:
    sign = MINUS if term.negative else "" if first else PLUS
    return sign + term.behind(unknown)


@dataclass(frozen=True, slots=True)
class Symbolic(Base):
    """Compares sums of products in the symbols of this family, terms and factors in any order."""

    def extract(self, answer: str) -> str | None:
        """Return the right-hand side that a reply states, its terms and factors in one order."""
        for short in stated(answer):
            plain = re.sub(r"[\s$]", "", short).rpartition(EQUALS)[2]
            if _SIDE.fullmatch(plain):
                return _ordered(plain)
        return None

    def same(self, a: str, b: str) -> bool:
        """Say whether two extracted answers are equal."""
        return a == b


def _ordered(side: str) -> str:
    """Return the terms of a right-hand side in one order, the factors of each as well."""
    terms = []
    for match in re.finditer(rf"([{PLUS}{MINUS}]?)({_TERM.pattern})", side):
        pairs = re.findall(rf"([{TIMES}{OVER}])(.)", TIMES + match[2])
        parts = sorted(pairs, key=lambda pair: (pair[0] == OVER, pair[1]))
        terms.append((MINUS if match[1] == MINUS else PLUS) + "".join(map("".join, parts)).removeprefix(TIMES))
    return "".join(sorted(terms)).removeprefix(PLUS)


@dataclass(frozen=True, slots=True)
class Algebra(Generated):
    """A linear equation is solved for its unknown. The difficulty is the number of variables, the unknown included.

    `variables` and `steps` are numbers or ranges; `symbols` is how many symbols the known quantities are drawn from.
    """

    variables: str = "4-7"
    steps: str = "1-5"
    symbols: int = 6
    seed: int = 0
    kind: ClassVar[str] = "algebra"
    verifier: ClassVar[Symbolic] = Symbolic()

    def __post_init__(self) -> None:
        """Refuse ranges that leave no equation: one of n variables takes n steps at most."""
        low = self._turns()[0][0]
        most = self._turns()[-1][0] - 1
        require(most <= self.symbols <= len(SYMBOLS), self, "symbols", self.symbols, f"in {most} to {len(SYMBOLS)}")
        fewest = span(self, "steps", self.steps, 1, len(SYMBOLS) + 1)[0]
        require(fewest <= low, self, "steps", self.steps, f"from {low} or below, since {low} variables take no more")

    def _turns(self) -> Sequence[Turn]:
        return [(number,) for number in span(self, "variables", self.variables, 2, len(SYMBOLS) + 1)]

    def _draft(self, draw: random.Random, turn: Turn) -> Draft:
        wanted = span(self, "steps", self.steps, 1, len(SYMBOLS) + 1)
        while True:
            equation = _equation(draw.sample(SYMBOLS[: self.symbols], turn[0] - 1), draw)
            moves = list(equation.moves())
            if len(moves) in wanted:
                break
        steps = tuple(Step(str(right), str(wrong)) for right, wrong in moves)
        return Draft(f"Solve for {X}: {equation}", f"{X} from {equation}", steps, moves[-1][0].answer)


def _equation(symbols: Sequence[str], draw: random.Random) -> Equation:
    """Return an equation: each symbol multiplies or divides the unknown, begins a term, or joins the last term."""
    first, *others = symbols
    own, terms = Term(draw.random() < 0.5, ""), [Term(draw.random() < 0.5, first)]
    for symbol in others:
        operator, place = draw.choice((TIMES, OVER)), draw.random()
        if place < 0.3:
            before = operator == TIMES and not own.before and draw.random() < 0.5
            own = replace(own, before=symbol) if before else own.times(operator, symbol)
        elif place < 0.48:
            terms[-1] = terms[-1].times(operator, symbol)
        else:
            terms.append(Term(draw.random() < 0.5, symbol))
    at = draw.randrange(len(terms) + 1)
    return Equation((*terms[:at], own, *terms[at:]), at)
