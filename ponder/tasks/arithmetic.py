"""Arithmetic without end: sums, chains and short word problems, made from a seed, harder from level to level."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count, islice
from typing import ClassVar, NamedTuple

from ponder.core.errors import require
from ponder.core.judge import Item, Reference
from ponder.tasks.arithmetic_words import WORDS
from ponder.tasks.shipped import FORMATS, item
from ponder.verify.number import Number

LARGEST = (9, 20, 50, 99, 200, 500, 999, 2000, 5000, 9999)
"""The largest operand of each level."""
FACTOR = (3, 5, 9, 12, 20, 30, 50, 99, 150, 250)
"""The largest factor or divisor of each level."""
_LANGUAGES = ("en", "zh", "mix")
QUESTIONS = 1000
"""How many questions are asked where no number is given; with seed 0, no training data holds them."""


class Operation(NamedTuple):
    """One step from total to total: `kind` is add, sub, mul or div, and the operand stands `times` times for itself."""

    kind: str
    operand: int
    times: int = 1


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """Question number i depends on (seed, level, language, i) alone, so that fewer questions are a beginning of more.

    `level` is 1 to 10, or a range such as `1-5`, whose levels take turns; `language` is en, zh or mix.
    """

    level: str = "1-5"
    language: str = "en"
    seed: int = 0
    verifier: ClassVar[Number] = Number()

    def __post_init__(self) -> None:
        """Refuse levels and languages that do not exist."""
        match = re.fullmatch(r"(\d{1,2})(?:-(\d{1,2}))?", self.level)
        valid = match is not None and 1 <= int(match[1]) <= int(match[2] or match[1]) <= len(LARGEST)
        require(valid, self, "level", self.level, "a number from 1 to 10 or a range such as 1-5")
        require(self.language in _LANGUAGES, self, "language", self.language, "one of en, zh, mix")

    @property
    def name(self) -> str:
        """The name with the options that differ from the defaults."""
        options = [f"{key}={value}" for key, value in (("level", self.level), ("language", self.language))]
        changed = [option for option in options if option not in ("level=1-5", "language=en")]
        return ":".join(["arithmetic", *([",".join(changed)] if changed else [])])

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield questions; without a limit the first 1,000 of them."""
        return (question for question, _ in self.worked(QUESTIONS if limit is None else limit))

    def worked(self, limit: int | None = None) -> Iterator[tuple[Item, tuple[Operation, ...]]]:
        """Yield the questions, without a limit no end of them, each with the operations from 0 to its answer."""
        low, _, high = self.level.partition("-")
        levels = range(int(low), int(high or low) + 1)
        for index in islice(count(), limit):
            level = levels[index % len(levels)]
            language = ("en", "zh")[index // len(levels) % 2] if self.language == "mix" else self.language
            yield self._item(index, level, language)

    def _item(self, index: int, level: int, language: str) -> tuple[Item, tuple[Operation, ...]]:
        draw = random.Random(f"arithmetic/{self.seed}/{level}/{language}/{index}")
        kind = draw.choice(("sum", "chain", "one_step", "two_step"))
        if kind in ("sum", "chain"):
            question, work = _expression(draw, level, 2 if kind == "sum" else 2 + (level + 1) // 2, language)
        else:
            question, work = _story(draw, level, 1 if kind == "one_step" else 2, language)
        asked = item(
            f"arithmetic-s{self.seed}-l{level}-{language}-{index}",
            question,
            FORMATS["number"][language],
            Reference(str(total(work))),
            self.verifier,
            {"level": str(level), "kind": kind, "language": language},
        )
        return asked, work


def total(work: Iterable[Operation], start: int = 0) -> int:
    """Return where the operations lead from `start`."""
    for kind, operand, times in work:
        value = operand * times
        start = {"add": start + value, "sub": start - value, "mul": start * value, "div": start // value}[kind]
    return start


def _expression(draw: random.Random, level: int, terms: int, language: str) -> tuple[str, tuple[Operation, ...]]:
    """Return a sum of terms, products among them from level 3 on, with its operations."""
    largest, factor = LARGEST[level - 1], FACTOR[level - 1]
    text, work = "", list[Operation]()
    for position in range(terms):
        value, times = draw.randint(1, largest), 1
        if level >= 3 and draw.random() < 0.3:
            times = draw.randint(2, factor)
        shown = str(value) if times == 1 else f"{value} × {times}"
        kind = "add" if position == 0 else draw.choice(("add", "sub"))
        if level < 3 and kind == "sub" and total(work) < value:
            kind = "add"
        work.append(Operation(kind, value, times))
        text = shown if position == 0 else f"{text} {'+' if kind == 'add' else '-'} {shown}"
    return draw.choice(WORDS[language].asks).format(e=text), tuple(work)


def _story(draw: random.Random, level: int, steps: int, language: str) -> tuple[str, tuple[Operation, ...]]:
    """Return a word problem of one or two steps, with its operations; no number in it is below 2."""
    words = WORDS[language]
    story = draw.choice([story for story in words.stories if len(story.steps) == steps])
    largest, factor = max(6, LARGEST[level - 1]), FACTOR[level - 1]
    start = draw.randint(5, largest)
    work: list[Operation] = []
    for step in story.steps:
        now = total(work, start)
        operand = draw.randint(2, max(2, factor if step in ("mul", "div") else min(largest, now - 2)))
        if step == "div":
            start *= operand
        work.append(Operation(step, operand))
    name, other = draw.sample(words.names, 2)
    first, second = work[0].operand, work[-1].operand
    text = story.text.format(n=name, m=other, t=draw.choice(words.things), a=start, b=first, c=second)
    return text, (Operation("add", start), *work)
