"""What each line of a reply to a puzzle is worth: right, wrong or useless, known exactly since its chain is known."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Literal, NamedTuple

from ponder.core.engine import Think
from ponder.core.judge import Item, Reference, Score, Verifier
from ponder.text.steps import step_ends, unmarked
from ponder.train.lab.puzzle import Puzzle
from ponder.train.lab.thought import WORDS, Words

Kind = Literal["right", "useless", "wrong"]
MARKS = Think("<think>", "</think>")
DELIMITER = "\n"
"""Ends a step of the lab's chains."""


class Label(NamedTuple):
    """A step up to the character `end`.

    `sound` is what a reward model learns: whether the reply stands on firm ground behind it. A right step does, also
    one that is written again, a wrong one does not; talk leaves it as it was.
    """

    end: int
    kind: Kind
    sound: bool


@dataclass(frozen=True, slots=True)
class Chain:
    """What is known of a puzzle: its minimal chain, what it gives, and its answer."""

    steps: tuple[str, ...]
    given: str
    answer: str
    reference: Reference
    verifier: Verifier
    language: str = "en"
    skipped: tuple[str, ...] = ()
    """Lines of a shorter chain: right as well."""

    @classmethod
    def of(cls, puzzle: Puzzle, verifier: Verifier) -> Chain:
        """Return what a puzzle knows; `verifier` is its family's."""
        steps, reference = tuple(step.text for step in puzzle.steps), puzzle.item.reference or Reference(puzzle.answer)
        return cls(steps, puzzle.given, puzzle.answer, reference, verifier, puzzle.language, puzzle.skipped)

    @classmethod
    def of_item(cls, item: Item, verifier: Verifier) -> Chain:
        """Return what a question of the task `lab` tells; a shorter chain is not in it."""
        meta, reference = item.meta, item.reference or Reference("")
        steps = tuple(meta["minimal"].split("\n"))
        return cls(steps, meta["given"], reference.text, reference, verifier, meta.get("language", "en"))


def label_steps(chain: Chain, text: str, think: Think = MARKS) -> list[Label]:
    """Return a label for each line of a reply, however much of it is written.

    Right is a line of the chain the first time, a conclusion that is true, and of an answer that is the boxed line and
    the last one.
    Useless is a line of the chain again, the restated question, the announcement of a check, and a wrong line that is
    taken back at once. All else is wrong, a right line in words of its own too: models of the lab write none.
    """
    found: list[Label] = []
    left, sound, words = Counter(chain.steps) | Counter(chain.skipped), True, WORDS[chain.language]
    at, answer = 0, _answer_begins(text, think)
    ends = step_ends(text, DELIMITER, (think.open.strip(), think.close.strip()))
    for end in ends:
        line = unmarked(text[at:end], (think.open.strip(), think.close.strip()))
        kind, firm = _line(line, chain, left, words)
        states = end == ends[-1] or "\\boxed{" in line
        if kind == "wrong" and states and answer is not None and end > answer:
            firm = bool(chain.verifier(text[answer:end], chain.reference).correct)
            kind = "right" if firm else "wrong"
        sound = sound if firm is None else firm
        found.append(Label(end, kind, sound))
        at = end
    return found


def step_score(chain: Chain, text: str, think: Think = MARKS) -> Score:
    """Return what an oracle says of a reply so far: 1 where it stands on firm ground behind its last line, else 0."""
    steps = tuple(float(label.sound) for label in label_steps(chain, text, think))
    return Score(steps[-1] if steps else 1.0, steps)


def _line(line: str, chain: Chain, left: Counter[str], words: Words) -> tuple[Kind, bool | None]:
    """Return what a line is, and what the ground is behind it; None leaves it as it was. Takes the line off `left`."""
    if line in chain.steps or line in chain.skipped:
        first = left[line] > 0
        left[line] -= 1
        return ("right" if first else "useless"), True
    if line == words.conclude.format(answer=chain.answer):
        first = left[line] == 0
        left[line] -= 1
        return ("right" if first else "useless"), True
    if line == words.restate.format(given=chain.given) or line in words.checks:
        return "useless", None
    before, after = words.slip.split("{slip}")
    if line.startswith(before) and line.endswith(after):
        taken_back = line[len(before) : len(line) - len(after)]
        return ("wrong", False) if taken_back in chain.steps else ("useless", None)
    return "wrong", False


def _answer_begins(text: str, think: Think) -> int | None:
    """Return where the answer begins: behind the thought, or at the beginning where there is none; None inside one."""
    if not think:
        return 0
    close = text.find(think.close.strip())
    if close >= 0:
        return close + len(think.close.strip())
    return None if think.opened or think.open.strip() in text else 0
