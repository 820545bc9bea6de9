"""Drills: operations as `arithmetic` needs them, one after the other, so that nearly every token teaches a fact."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from ponder.core.errors import require
from ponder.tasks.arithmetic import FACTOR, LARGEST
from ponder.train.lab.arithmetic import SIGNS, step
from ponder.train.lab.generated import Draft, Generated, Turn, span
from ponder.verify.number import Number


@dataclass(frozen=True, slots=True)
class Reckoning(Generated):
    """`lines` operations, each worked out in a line of its own; the difficulty is the level of `arithmetic`."""

    level: str = "1-5"
    lines: int = 8
    seed: int = 0
    kind: ClassVar[str] = "reckoning"
    verifier: ClassVar[Number] = Number()

    def __post_init__(self) -> None:
        """Refuse levels that do not exist, and drills without end."""
        self._turns()
        require(1 <= self.lines <= 100, self, "lines", self.lines, "in 1 to 100")

    def _turns(self) -> Sequence[Turn]:
        return [(level,) for level in span(self, "level", self.level, 1, len(LARGEST))]

    def _draft(self, draw: random.Random, turn: Turn) -> Draft:
        operations = [_operation(draw, turn[0]) for _ in range(self.lines)]
        steps = tuple(step(kind, a, b, result, draw) for kind, a, b, result in operations)
        asked = [f"{a}{SIGNS[kind]}{b}" for kind, a, b, _ in operations]
        question = f"Work out {'; '.join(asked)}. What is the last result?"
        return Draft(question, ", ".join(asked), steps, str(operations[-1][3]))


def _operation(draw: random.Random, level: int) -> tuple[str, int, int, int]:
    """Draw an operation of the size that chains and stories of a level lead to, with its result."""
    largest, factor = LARGEST[level - 1], FACTOR[level - 1]
    kind = draw.choices(("add", "sub", "mul", "div"), (3, 3, 2, 1))[0]
    a, b = draw.randint(2, max(6, largest)), draw.randint(2, factor)
    if kind == "mul":
        return kind, a, b, a * b
    if kind == "div":
        return kind, a * b, b, a
    if level >= 3 and draw.random() < 0.4:
        a *= b
    if level >= 3 and draw.random() < 0.15:
        a = -a
    b = draw.randint(1, largest)
    if level >= 3 and draw.random() < 0.3:
        b *= draw.randint(2, factor)
    if level < 3 and kind == "sub" and a < b:
        a, b = b, a
    return kind, a, b, a + b if kind == "add" else a - b
