"""A file with one JSON object a line that a long job appends to: half a line is dropped, and the job goes on."""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import cast

from ponder.core.errors import DataError

Line = Mapping[str, object]


class Journal:
    """The first line says how the others were made; each of these has an `id`. Only one process may write at a time.

    A line is on the disk before `append` returns. Raises `DataError` for a file that is something else, or was made in
    another way.
    """

    def __init__(self, path: Path, made: Line) -> None:
        self.path = path
        self.ids: set[str] = set()
        self._file = opened(path)
        try:
            self._resume(made)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    def append(self, line: Line) -> None:
        """Write one line. Raises `DataError` where it cannot be written; what was there before is kept."""
        before = os.fstat(self._file.fileno()).st_size
        data = memoryview(packed(line))
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
            os.fsync(self._file.fileno())
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(before)
            raise DataError(
                f"{self.path} cannot be written ({error.strerror or error}); what is there is kept: make room, then "
                f"start the same command again"
            ) from None
        if "id" in line:
            self.ids.add(str(line["id"]))

    def lines(self) -> Iterator[Line]:
        """Yield what was appended, in that order, without the first line."""
        with self.path.open("rb") as file:
            for number, raw in enumerate(file, 1):
                if number > 1 and raw.endswith(b"\n"):
                    yield self._parsed(number, raw)

    def _resume(self, made: Line) -> None:
        """Take over what an earlier session wrote, up to its last whole line."""
        whole = self.path.read_bytes()
        whole = whole[: whole.rfind(b"\n") + 1]
        first, _, _ = whole.partition(b"\n")
        if not whole:
            if not packed(made).startswith(self.path.read_bytes()):
                raise DataError(f"{self.path} was not made by this command; choose another file with --out")
            self._file.truncate(0)
            self.append(made)
            return
        self._compare(first, made)
        self._file.truncate(len(whole))
        self.ids = {str(line.get("id")) for line in self.lines()}

    def _compare(self, first: bytes, made: Line) -> None:
        found: object = None
        with suppress(ValueError):
            found = json.loads(first)
        if not isinstance(found, dict) or "made_by" not in found:
            raise DataError(f"{self.path} was not made by this command; choose another file with --out")
        differing = next((key for key in made if found.get(key) != made[key]), None)
        if differing is not None:
            raise DataError(
                f"{self.path} was made with {differing} = {found.get(differing)!r}, not {made[differing]!r}; give the "
                f"same settings to go on with it, or another file with --out"
            )

    def _parsed(self, number: int, raw: bytes) -> Line:
        try:
            return cast(Line, json.loads(raw))
        except ValueError:
            raise DataError(
                f"{self.path}, line {number} is not JSON; cut the file there, or choose another one with --out"
            ) from None


def packed(line: Line) -> bytes:
    """Return an object as one line of a file."""
    return json.dumps(line, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def opened(path: Path, option: str = "--out") -> io.FileIO:
    """Open the file for appending, and hold a lock on it that ends with this process, however it ends.

    Raises `DataError`, with the option that names the file, where it cannot be written or another process writes it.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.FileIO(path, "a")
    except OSError as error:
        raise DataError(
            f"{path} cannot be written ({error.strerror or error}); choose another file with {option}"
        ) from None
    if sys.platform != "win32":  # where nobody else may open a file that is being written
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise DataError(
                f"another process is writing to {path}; wait for it, or choose another file with {option}"
            ) from None
    return file
