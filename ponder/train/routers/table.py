"""What routers learn from: who was right on each question, or who was preferred in each comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ponder.core.errors import DataError

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Battles:
    """Comparisons of models: the places of both in `models`, and how far the first won: 1, 0, or 0.5 for a tie."""

    models: tuple[str, ...]
    first: Indices
    second: Indices
    won: Numbers

    def rows(self, which: Indices) -> Battles:
        """Return some of the comparisons."""
        return replace(self, first=self.first[which], second=self.second[which], won=self.won[which])


@dataclass(frozen=True, slots=True)
class Table:
    """One row for each question of outcomes, or for each comparison of preferences; either `success` or `battles`.

    `choices` stand in order of cost, the cheapest first. `success` is (rows, choices), in 0 to 1. `groups` are subjects
    or categories, where the table has any; `questions` is empty where it has no texts.
    """

    choices: tuple[str, ...]
    questions: tuple[str, ...]
    groups: tuple[str, ...] = ()
    success: Numbers | None = None
    battles: Battles | None = None

    def __len__(self) -> int:
        """Rows."""
        if self.success is not None:
            return len(self.success)
        return 0 if self.battles is None else len(self.battles.won)

    def rows(self, which: Indices) -> Table:
        """Return a part of the table."""
        return replace(
            self,
            questions=tuple(self.questions[row] for row in which) if self.questions else (),
            groups=tuple(self.groups[row] for row in which) if self.groups else (),
            success=None if self.success is None else self.success[which],
            battles=None if self.battles is None else self.battles.rows(which),
        )


def same_question(text: str) -> str:
    """Return what two texts share if they ask the same: case and blanks do not count."""
    return " ".join(text.casefold().split())


def check_table(table: Table, where: str, *, together: bool = False) -> None:
    """Raise `DataError` for a table from which nothing can be learnt, or whose folds would leak into each other.

    `together` allows outcomes of the same question in several rows; `folds` keeps those in one fold.
    """
    if len(table) < 10:
        raise DataError(f"{where} has {len(table)} rows; a router needs at least 10, and hundreds to be of use")
    if table.success is not None:
        if table.questions and not together:
            _no_duplicates(table.questions, where)
        _two_classes(np.unique(table.success - table.success[:, :1], axis=0), where)
    elif table.battles is not None:
        battles = table.battles
        swapped = battles.first > battles.second
        _two_classes(np.unique(np.where(swapped, 1 - battles.won, battles.won)), where)


def _two_classes(found: Numbers, where: str) -> None:
    if len(found) < 2:
        raise DataError(
            f"{where} has one class only: the choices compare alike in every row, so there is nothing to learn; "
            "add rows where they differ"
        )


def _no_duplicates(questions: Sequence[str], where: str) -> None:
    seen: dict[str, int] = {}
    for row, text in enumerate(questions):
        first = seen.setdefault(same_question(text), row)
        if first != row:
            raise DataError(
                f"{where}: rows {first + 1} and {row + 1} ask the same question ({text[:60]!r}), so a fold would be "
                "tested on what it was trained with; remove one, or keep them in one fold with --duplicates together"
            )


def folds(table: Table, count: int, seed: int, *, held_out: bool = False) -> list[Indices]:
    """Return the rows of each fold. Rows that ask the same question stay together; with `held_out` whole groups do.

    Raises `DataError` where there are fewer parts to deal out than folds.
    """
    if held_out and not table.groups:
        raise DataError("the table names no groups to hold out; name their column with --group")
    keys = (
        table.groups if held_out else tuple(map(same_question, table.questions)) or tuple(map(str, range(len(table))))
    )
    parts: dict[str, list[int]] = {}
    for row, key in enumerate(keys):
        parts.setdefault(key, []).append(row)
    if len(parts) < count:
        raise DataError(
            f"{count} folds need at least as many {'groups' if held_out else 'questions'}, not {len(parts)}"
        )
    dealt: list[list[int]] = [[] for _ in range(count)]
    names = list(parts)
    order = [names[place] for place in np.random.default_rng(seed).permutation(len(names))]
    # The largest parts first, each to the emptiest fold: folds of groups come out about equally large.
    for name in sorted(order, key=lambda name: -len(parts[name])):
        min(dealt, key=len).extend(parts[name])
    return [np.array(sorted(rows), np.intp) for rows in dealt]
