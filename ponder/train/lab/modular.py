"""Chains of operations modulo a small number, strictly from left to right: sequential by construction."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ponder.core.errors import require
from ponder.train.lab.generated import Draft, Generated, Turn, span
from ponder.train.lab.puzzle import Step
from ponder.verify.number import Number

MOST = 100
"""The most links of a chain, and the largest modulus."""


@dataclass(frozen=True, slots=True)
class Modular(Generated):
    """`x0 op x1 ... op xn` with operands from 1 to `modulus` - 1; the difficulty is the number of links, n.

    `links` is a number or a range; `operations` holds some of `+-*`.
    """

    links: str = "1-6"
    modulus: int = 7
    operations: str = "+-*"
    seed: int = 0
    kind: ClassVar[str] = "modular"
    verifier: ClassVar[Number] = Number()

    def __post_init__(self) -> None:
        """Refuse what is no range, a modulus that leaves nothing to reckon, and unknown operations."""
        self._turns()
        require(3 <= self.modulus <= MOST, self, "modulus", self.modulus, f"in 3 to {MOST}")
        known = bool(self.operations) and set(self.operations) <= set("+-*")
        distinct = len(set(self.operations)) == len(self.operations)
        require(known and distinct, self, "operations", self.operations, "some of + - *, each once")

    def _turns(self) -> Sequence[Turn]:
        return [(links,) for links in span(self, "links", self.links, 1, MOST)]

    def _draft(self, draw: random.Random, turn: Turn) -> Draft:
        operands = [draw.randrange(1, self.modulus) for _ in range(turn[0] + 1)]
        return chain(operands, draw.choices(self.operations, k=turn[0]), self.modulus, draw)


def chain(operands: Sequence[int], operations: Sequence[str], modulus: int, draw: random.Random) -> Draft:
    """Return the question and its chain: one line for each link, with the running value."""
    value, text, steps = operands[0], str(operands[0]), []
    for operation, operand in zip(operations, operands[1:], strict=True):
        sign = "×" if operation == "*" else operation
        result = {"+": value + operand, "-": value - operand, "*": value * operand}[operation] % modulus
        wrong = (result + draw.choice((1, -1))) % modulus
        steps.append(Step(f"{value}{sign}{operand}={result}", f"{value}{sign}{operand}={wrong}"))
        value, text = result, f"{text} {sign} {operand}"
    question = f"What is {text} modulo {modulus}, strictly from left to right?"
    return Draft(question, f"{text.replace(' ', '')} mod {modulus}", tuple(steps), str(value))
