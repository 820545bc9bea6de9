"""Questions that a user brings, from whatever source: which verifier judges them, and what must hold for each."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NoReturn

from ponder.core.errors import DataError, OptionError, nearest
from ponder.core.judge import Item
from ponder.tasks.record import LETTERS, Broken, Row
from ponder.verify.base import Base
from ponder.verify.choice import Choice
from ponder.verify.exact import Exact
from ponder.verify.math import Math
from ponder.verify.number import Number
from ponder.verify.yes_no import YesNo

VERIFIERS: Mapping[str, Base] = {
    "number": Number(),
    "math": Math(),
    "choice": Choice(LETTERS),
    "yes_no": YesNo(),
    "exact": Exact(),
}
Rows = Iterable[tuple[int, Row]]
Fail = Callable[[int, str], NoReturn]
"""Raises `DataError` for what is wrong with the record of a number."""


def check_options(verifier: str, format: str) -> None:
    """Raise `OptionError` for a verifier or a format that does not exist; an empty verifier is to be chosen."""
    if verifier and verifier not in VERIFIERS:
        listed = ", ".join(VERIFIERS)
        raise OptionError(f"there is no verifier {verifier!r}{nearest(verifier, VERIFIERS)}; the verifiers: {listed}")
    if format not in ("on", "off"):
        raise OptionError(f"format = {format!r} must be on or off")


def choose(rows: Rows, asked: str, where: str) -> str:
    """Return the verifier asked for, else the one that the first answered record names, else the one that suits it."""
    first = next((row for _, row in rows if row.answer is not None), None)
    kind = asked or (first.verifier or _suits(first) if first else "exact")
    if kind not in VERIFIERS:
        known = ", ".join(VERIFIERS)
        raise DataError(f"{where}: there is no verifier {kind!r}{nearest(kind, VERIFIERS)}; use one of {known}")
    return kind


def questions(rows: Rows, kind: str, stem: str, fail: Fail, *, mixed: bool, formatted: bool) -> Iterator[Item]:
    """Yield the questions; ids must differ, and each answer must be one that the verifier can read.

    `mixed` allows records to name other verifiers than `kind`, which judges them all. Ids take eight bytes each.
    """
    seen: set[bytes] = set()
    for number, row in rows:
        if row.verifier and row.verifier != kind and not mixed:
            what = f"asks for the verifier {row.verifier!r}, but earlier lines are judged by {kind!r}"
            fail(number, f"{what}; give each kind of question a file of its own")
        id = row.id if row.id is not None else f"{stem}-{number}"
        digest = hashlib.blake2b(id.encode(), digest_size=8).digest()
        if digest in seen:
            fail(number, f"the id {id!r} stands in an earlier line too; ids must differ")
        seen.add(digest)
        try:
            yield row.item(id, kind, VERIFIERS[kind], formatted)
        except Broken as error:
            fail(number, str(error))


def _suits(row: Row) -> str:
    """Return the verifier that suits an answered question, where nobody named one."""
    if row.choices:
        return "choice"
    for kind in ("number", "yes_no"):
        if VERIFIERS[kind].check(row.reference()) is None:
            return kind
    return "exact"
