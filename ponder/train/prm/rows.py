"""Replies with a value for each of their steps, as JSON lines: what is in the file is not drawn again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ponder.core.errors import DataError
from ponder.train.data.journal import opened, packed

SCHEMA = 1


class Step(NamedTuple):
    """A step up to the character `end`; `value` is 0 to 1, `kind` what the lab calls it, or nothing.

    `logprob` is the mean log-probability of its tokens, where they are known.
    """

    end: int
    value: float
    kind: str = ""
    logprob: float | None = None


@dataclass(frozen=True, slots=True)
class Reply:
    """A reply to the question `key`. `sample` counts those of a question; below 0 are chains of the lab's own.

    `correct` is None for a reply that a limit cut or nobody could judge. `tokens` is what it took to write it, `spent`
    what its labels took.
    """

    key: str
    sample: int
    text: str
    correct: bool | None
    tokens: int
    spent: int
    steps: tuple[Step, ...]


class Kept:
    """The file of replies. `facts` say how they were drawn: a file of other facts is refused."""

    def __init__(self, path: Path, facts: Mapping[str, object]) -> None:
        self.path = path
        self.rows: dict[tuple[str, int], Reply] = {}
        # It is never emptied and written again: an interruption would find it in between.
        self._file = opened(path, "--replies")
        try:
            self._resume({"schema": SCHEMA, **facts})
        except BaseException:
            self._file.close()
            raise

    def _resume(self, head: Mapping[str, object]) -> None:
        """Read what is there. A line that an interruption left half-written goes."""
        found, first = self.path.read_bytes(), packed(head)
        whole = found[: found.rfind(b"\n") + 1]
        if whole:
            self._read(whole.splitlines(), json.loads(first))
        elif not first.startswith(found):
            raise DataError(f"{self.path} holds something else; name another file with --replies")
        self._file.truncate(len(whole))
        if not whole:
            self._append(first)

    def _read(self, lines: Sequence[bytes], head: Mapping[str, object]) -> None:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                if number == 1:
                    self._same(record, head)
                else:
                    row = _reply(record)
                    self.rows[row.key, row.sample] = row
            except (ValueError, TypeError, KeyError) as error:
                raise DataError(
                    f"{self.path}, line {number} is no reply ({error}); remove the file, or name another with --replies"
                ) from None

    def _same(self, found: object, head: Mapping[str, object]) -> None:
        old = found if isinstance(found, dict) else {}
        other = [name for name in head if old.get(name) != head[name]]
        if other:
            raise DataError(
                f"{self.path} holds replies that were drawn otherwise ({other[0]} = {old.get(other[0])!r}, and now "
                f"{head[other[0]]!r}); name another file with --replies"
            )

    def add(self, row: Reply) -> None:
        """Keep one more reply, at once. Raises `DataError` where it cannot be written; what was there is kept."""
        self._append(packed(asdict(row)))
        self.rows[row.key, row.sample] = row

    def _append(self, line: bytes) -> None:
        try:
            self._file.write(line)
        except OSError as error:
            raise DataError(
                f"{self.path} cannot be written ({error.strerror or error}); what is there is kept: make room, then "
                f"start the same command again"
            ) from None

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _reply(record: Mapping[str, Any]) -> Reply:
    """Return a line as a reply. Raises `ValueError`, `TypeError` or `KeyError` for one that is none."""
    steps = tuple(Step(*step) for step in record["steps"])
    row = Reply(**{**record, "steps": steps})
    ends = [0, *(step.end for step in steps), len(row.text)]
    if ends != sorted(ends) or not all(0 <= step.value <= 1 for step in steps):
        raise ValueError("its steps do not lie in its text, or are not worth 0 to 1")
    return row
