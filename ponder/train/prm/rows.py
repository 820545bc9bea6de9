"""Replies with a value for each of their steps, as JSON lines: what is in the file is not drawn again."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from ponder.core.errors import DataError

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
        head = {"schema": SCHEMA, **facts}
        try:
            lines = path.read_text("utf-8").splitlines(keepends=True) if path.exists() else []
            whole = [line for line in lines if line.endswith("\n")]
            if whole:
                self._read(whole, json.loads(json.dumps(head)))
            path.parent.mkdir(parents=True, exist_ok=True)
            # A line that an interruption left half-written goes.
            self._file = path.open("w", encoding="utf-8")
            self._file.writelines(whole or [json.dumps(head, ensure_ascii=False) + "\n"])
            self._file.flush()
        except OSError as error:
            raise DataError(f"{path} cannot be used ({error.strerror}); name another file with --replies") from None

    def _read(self, lines: Sequence[str], head: Mapping[str, object]) -> None:
        for number, line in enumerate(lines, 1):
            try:
                record = json.loads(line)
                if number == 1:
                    self._same(record, head)
                else:
                    row = Reply(**{**record, "steps": tuple(Step(*step) for step in record["steps"])})
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
        """Keep one more reply, at once."""
        self.rows[row.key, row.sample] = row
        self._file.write(json.dumps(asdict(row), ensure_ascii=False) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
