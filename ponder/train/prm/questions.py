"""The questions whose replies a reward model learns from: of the lab, with their chains, or of any task."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from ponder.core.errors import DataError, OptionError
from ponder.core.judge import Item, Verifier
from ponder.tasks import load_task
from ponder.train.lab.arithmetic import ArithmeticFamily
from ponder.train.lab.labels import Chain
from ponder.train.lab.puzzle import Puzzle
from ponder.train.lab.rows import fresh, held_out
from ponder.train.lab.table import load_family

LAB = "lab:"


@dataclass(frozen=True, slots=True)
class Question:
    """A question, and what it is known by: its task, its verifier, and for the lab its puzzle and chain."""

    task: str
    item: Item
    verifier: Verifier
    puzzle: Puzzle | None = None

    @property
    def key(self) -> str:
        """What the question is called, different for all questions of all tasks."""
        return f"{self.task}/{self.item.problem.id}"

    @property
    def chain(self) -> Chain | None:
        """What the lab knows of it."""
        return None if self.puzzle is None else Chain.of(self.puzzle, self.verifier)


def load_questions(specs: Sequence[str], limit: int, seed: int) -> list[Question]:
    """Return up to `limit` questions of each task. Raises `OptionError` for a seed of 0, and `DataError` for none.

    Those of the lab are made for training: none of them is one that tests ask. Of other tasks, those without a
    reference are left out; whoever trains on a benchmark's questions cannot be measured by them.
    """
    if seed == 0:
        raise OptionError("seed 0 makes the questions that tests ask; train on another seed")
    found, seen = list[Question](), set[str]()
    for spec in specs:
        # Tasks may overlap, and what is asked twice must not be learnt and held out at once.
        new = (question for question in _of(spec, seed) if question.item.problem.question not in seen)
        taken = list(islice(new, limit))
        seen |= {question.item.problem.question for question in taken}
        found += taken
    if not found:
        raise DataError(f"{', '.join(specs)}: there is no question with a reference; name another task")
    return found


def _of(spec: str, seed: int) -> Iterator[Question]:
    if not spec.startswith(LAB):
        task = load_task(spec, seed=seed)
        yield from (Question(task.name, item, task.verifier) for item in task.items() if item.reference is not None)
        return
    family = load_family(spec.removeprefix(LAB), seed)
    without = held_out() if isinstance(family, ArithmeticFamily) else frozenset[str]()
    for puzzle in fresh(family, without):
        yield Question(LAB + family.name, puzzle.item, family.verifier, puzzle)
