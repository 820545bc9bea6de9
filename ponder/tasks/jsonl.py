"""A user's own questions: one JSON object a line, checked line by line as they are read."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NoReturn, cast

from ponder.core.errors import DataError
from ponder.core.judge import Item
from ponder.tasks.own import VERIFIERS, check_options, choose, questions
from ponder.tasks.record import Broken, Row, read_row
from ponder.verify.base import Base

_MAX_LINE = 2**20


@dataclass(frozen=True, slots=True)
class JSONL:
    """The questions of one file, all judged by one verifier.

    That is the one asked for, else the one that the first answered line names, else the one that suits its answer.
    `format` = off leaves out the line about the form of the answer.
    """

    path: str
    verifier_name: str = ""
    format: str = "on"
    kind: str = field(init=False)

    def __post_init__(self) -> None:
        """Read up to the first answered line to choose the verifier. Raises `DataError` for a broken beginning."""
        check_options(self.verifier_name, self.format)
        with closing(self._rows()) as rows:
            object.__setattr__(self, "kind", choose(rows, self.verifier_name, self.path))

    @property
    def name(self) -> str:
        """The file, with the options that differ from the defaults."""
        asked = f",verifier={self.verifier_name}" if self.verifier_name else ""
        return f"jsonl:{self.path}{asked}{',format=off' if self.format == 'off' else ''}"

    @property
    def verifier(self) -> Base:
        """Judges every line of the file."""
        return VERIFIERS[self.kind]

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions in the order of the file. Raises `DataError` that names the file and the line."""
        stem = Path(self.path).name.removesuffix(".gz").removesuffix(".jsonl")
        mixed, formatted = bool(self.verifier_name), self.format == "on"
        return questions(islice(self._rows(), limit), self.kind, stem, self._fail, mixed=mixed, formatted=formatted)

    def _rows(self) -> Generator[tuple[int, Row], None, None]:
        """Yield (line number from 1, record) for each line that is not blank."""
        number = 0
        try:
            with _open(self.path) as source:
                while line := source.readline(_MAX_LINE + 1):
                    number += 1
                    if len(line) > _MAX_LINE:
                        self._fail(number, "it is longer than one megabyte; is this a file of JSON lines?")
                    if number == 1:
                        line = line.removeprefix(b"\xef\xbb\xbf")
                    if line.strip():
                        yield number, self._row(number, line)
        except (OSError, EOFError, zlib.error) as error:
            where = f", behind line {number}" if number else ""
            raise DataError(f"{self.path} cannot be read{where}: {_reason(error)}") from None

    def _row(self, number: int, line: bytes) -> Row:
        try:
            record = json.loads(line.decode("utf-8").rstrip())
        except UnicodeDecodeError as error:
            self._fail(number, f"it is not UTF-8 (byte {error.start + 1}); save the file as UTF-8")
        except json.JSONDecodeError as error:
            self._fail(number, f"broken JSON at column {error.colno} ({error.msg})")
        except (ValueError, RecursionError) as error:
            self._fail(number, f"broken JSON ({type(error).__name__}: {error})")
        try:
            return read_row(record)
        except Broken as error:
            self._fail(number, str(error))

    def _fail(self, number: int, what: str) -> NoReturn:
        raise DataError(f"{self.path}, line {number}: {what}")


@contextmanager
def _open(path: str) -> Iterator[BinaryIO]:
    """Open a file, unpacked if it begins as gzip files do, whatever its name."""
    with open(path, "rb") as source:
        if source.peek(2)[:2] == b"\x1f\x8b":
            with gzip.GzipFile(fileobj=source) as unpacked:
                yield cast(BinaryIO, unpacked)
        else:
            yield source


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{error or type(error).__name__}; if it was copied, copy it again"
