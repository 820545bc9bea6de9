"""Thoughts over a known chain: as short as can be, or too long by an amount that has nothing to do with difficulty."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from ponder.core.errors import require
from ponder.train.lab.puzzle import Puzzle, Step


class Thought(NamedTuple):
    """What stands between the think tags.

    `exit` counts the characters up to the end of the step that first derives the answer: an oracle would stop there.
    """

    text: str
    exit: int

    def reply(self, answer: str) -> str:
        """Return the whole reply: the thought in its tags, then the answer."""
        return f"<think>\n{self.text}\n</think>\n\n\\boxed{{{answer}}}"

    @property
    def exit_in_reply(self) -> int:
        """The oracle's exit, counted from the beginning of the reply."""
        return len("<think>\n") + self.exit


@dataclass(frozen=True, slots=True)
class Overthinking:
    """How much a thought overdoes it, for easy and hard questions alike.

    `passes` is how often the whole chain is gone through again once the answer is known; a fraction is the chance of
    one more. `slips` is the chance that a pass, the first one too, takes a wrong turn and comes back. With any pass
    the question is restated first.
    """

    passes: float = 2.0
    slips: float = 0.3

    def __post_init__(self) -> None:
        """Refuse what is no amount."""
        require(0 <= self.passes <= 20, self, "passes", self.passes, "in 0 to 20")
        require(0 <= self.slips <= 1, self, "slips", self.slips, "in 0 to 1")

    def think(self, puzzle: Puzzle, seed: int = 0) -> Thought:
        """Return the thought about a puzzle; it depends on puzzle, seed and amount alone."""
        words = WORDS[puzzle.language]
        draw = random.Random(f"overthinking/{seed}/{puzzle.item.problem.id}")
        again = int(self.passes) + (draw.random() < self.passes % 1)
        if not again:
            return minimal(puzzle)
        lines = [words.restate.format(given=puzzle.given)]
        lines += self._pass(puzzle.steps, draw, words)
        exit = len("\n".join(lines))
        for number in range(again):
            lines.append(words.checks[min(number, len(words.checks) - 1)])
            lines += self._pass(puzzle.steps, draw, words)
        lines.append(words.conclude.format(answer=puzzle.answer))
        return Thought("\n".join(lines), exit)

    def derailed(self, puzzle: Puzzle, seed: int = 0) -> str:
        """Return such a thought up to one line of the chain, drawn anywhere in it, in whose place stands its slip."""
        lines = self.think(puzzle, seed).text.split("\n")
        slips = {step.text: step.slip for step in puzzle.steps}
        places = [index for index, line in enumerate(lines) if line in slips]
        place = random.Random(f"derailed/{seed}/{puzzle.item.problem.id}").choice(places)
        return "\n".join([*lines[:place], slips[lines[place]]])

    def _pass(self, steps: tuple[Step, ...], draw: random.Random, words: Words) -> Iterator[str]:
        """Yield the lines of one pass. A slip is announced before it, so that a model learns it as a slip."""
        wrong = draw.randrange(len(steps)) if draw.random() < self.slips else None
        for index, step in enumerate(steps):
            if index == wrong:
                yield words.slip.format(slip=step.slip)
            yield step.text


def minimal(puzzle: Puzzle) -> Thought:
    """Return the shortest sufficient thought."""
    return Thought(puzzle.minimal, len(puzzle.minimal))


class Words(NamedTuple):
    """What is said around the work."""

    restate: str
    slip: str
    checks: tuple[str, ...]
    conclude: str


WORDS = {
    "en": Words(
        "I need {given}.",
        "Maybe {slip}? Wait, no.",
        ("Wait, let me check.", "Let me check once more.", "One more time, to be sure.", "And again."),
        "So the answer is {answer}.",
    ),
    # Characters that byte-level tokenizers know as a whole, as far as sense allows: others cost three tokens each.
    "zh": Words(
        "要的是 {given}。",
        "可能是 {slip}？不对。",
        ("这对不对？", "有没有不对的？", "最后对一下。", "一下，对一下。"),
        "所以是 {answer}。",
    ),
}
