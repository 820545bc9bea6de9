"""The questions of the `arithmetic` benchmark, each with the lines that work its answer out."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from ponder.core.judge import Item
from ponder.tasks.arithmetic import Arithmetic, Operation
from ponder.train.lab.puzzle import Puzzle, Step
from ponder.train.lab.reckon import reckon
from ponder.verify.number import Number

SIGNS: Mapping[str, str] = {"add": "+", "sub": "-", "mul": "×", "div": "/"}


@dataclass(frozen=True, slots=True)
class ArithmeticFamily:
    """`arithmetic` with the same options: level, language and seed. The difficulty is the level."""

    level: str = "1-5"
    language: str = "en"
    seed: int = 0
    verifier: ClassVar[Number] = Number()

    def __post_init__(self) -> None:
        """Refuse levels and languages that do not exist."""
        self._task()

    @property
    def name(self) -> str:
        """The name of the benchmark, options included."""
        return self._task().name

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions of the benchmark."""
        return self._task().items(limit)

    def puzzles(self, limit: int | None = None) -> Iterator[Puzzle]:
        """Yield the same questions with their chains."""
        for item, work in self._task().worked(limit):
            assert item.reference is not None
            draw = random.Random(f"slips/{item.problem.id}")
            steps = tuple(_steps(work, draw))
            level, language = int(item.meta["level"]), item.meta["language"]
            yield Puzzle(item, _given(work), steps, item.reference.text, level, language)

    def _task(self) -> Arithmetic:
        return Arithmetic(self.level, self.language, self.seed)


def _given(work: Iterable[Operation]) -> str:
    """Return the operations as one expression."""
    text, summed = "", False
    for kind, operand, times in work:
        if kind in ("mul", "div") and summed:
            text, summed = f"({text})", False
        summed = summed or (bool(text) and kind in ("add", "sub"))
        term = f"{operand}×{times}" if times > 1 else str(operand)
        text = f"{text}{SIGNS[kind]}{term}" if text else term
    return text


def _steps(work: tuple[Operation, ...], draw: random.Random) -> Iterator[Step]:
    """Yield one line for each product and for each operation on the running total."""
    total = 0
    for index, (kind, operand, times) in enumerate(work):
        value = operand
        if times > 1:
            value = operand * times
            yield step("mul", operand, times, value, draw)
        if index:
            before = total
            total = {"add": total + value, "sub": total - value, "mul": total * value, "div": total // value}[kind]
            yield step(kind, before, value, total, draw)
        else:
            total = value


def step(kind: str, a: int, b: int, result: int, draw: random.Random) -> Step:
    """Return the line that works out one operation, and a slip near its result."""
    off = draw.choice([off for off in (-10, -2, -1, 1, 2, 10) if abs(off) < 10 or abs(result) > 20])
    return Step(reckon(kind, a, b), f"{a}{SIGNS[kind]}{b}={result + off}")
