"""The families of the training lab as benchmarks: the shortest sufficient chain of thought is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from ponder.core.errors import OptionError
from ponder.core.judge import Item, Task, Verifier

if TYPE_CHECKING:
    from ponder.train.lab.puzzle import Family


@dataclass(frozen=True, slots=True)
class Lab:
    """The questions of a family that no training data holds, each once; without a limit the first 1,000 of them.

    `meta` has the `difficulty`, by what the family counts, the `minimal` chain, and what is `given`, in symbols.
    """

    family: Family

    @property
    def name(self) -> str:
        """The name of the family, options included, behind `lab:`."""
        return f"lab:{self.family.name}"

    @property
    def verifier(self) -> Verifier:
        """The family's own."""
        return self.family.verifier

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions, the difficulties in turn; a narrow family has fewer than the limit."""
        from ponder.train.lab.rows import HELD_OUT, fresh

        for puzzle in islice(fresh(self.family), HELD_OUT if limit is None else limit):
            facts = {"difficulty": str(puzzle.difficulty), "minimal": puzzle.minimal, "given": puzzle.given}
            yield Item(puzzle.item.problem, puzzle.item.reference, {**puzzle.item.meta, **facts})


def load(rest: str, seed: int) -> Task:
    """Return the task of a family such as `addition:digits=1-3`. Raises `OptionError` for a seed other than 0."""
    from ponder.train.lab.table import load_family

    if not rest:
        raise OptionError("lab needs the name of a family first, as in lab:addition or lab:modular:links=1-6")
    if seed != 0:
        raise OptionError(f"lab:{rest}: the questions for tests are those of seed 0, not {seed}; leave out --task-seed")
    return Lab(load_family(rest))
