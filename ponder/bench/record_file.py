"""The file of a recording: whole lines are appended, half a line is dropped, and the same command goes on."""

from __future__ import annotations

import gzip
import io
import json
import os
import sys
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, cast

from ponder.bench.recorded import MAX_LINE
from ponder.core.errors import DataError

Json = dict[str, object]


class RecordFile:
    """A `.jsonl` file, or a gzip file with a member for each line. Only one process may write to it at a time.

    A line is written and on the disk before `append` returns: a process killed at any moment loses none that is there,
    and leaves at most a half one, which the next session drops. `ids` are the questions that the file holds, `bill`
    the tokens that they took, by role.
    """

    def __init__(self, path: Path, header: Mapping[str, object]) -> None:
        self.path = path
        self.ids: set[str] = set()
        self.bill: dict[str, int] = {}
        self.samples = self.probes = 0
        self._file = _opened(path)
        try:
            self._resume(header)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> RecordFile:
        return self

    def __exit__(self, *exc: object) -> None:
        self._file.close()

    @property
    def tokens(self) -> int:
        """All tokens that the recorded questions took."""
        return sum(self.bill.values())

    def append(self, line: Mapping[str, object]) -> None:
        """Write one line. Raises `DataError` where it cannot be written; what was there before is kept."""
        before = os.fstat(self._file.fileno()).st_size
        try:
            _write(self._file, _packed(self.path, line))
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(before)
            raise DataError(
                f"the recording {self.path} cannot be written ({error.strerror or error}); what is recorded is kept: "
                f"make room, then start the same command again"
            ) from None
        self._count(line)

    def _resume(self, header: Mapping[str, object]) -> None:
        """Take over what an earlier session wrote, up to its last whole line."""
        size = 0
        for number, line in enumerate(_lines(self.path), 1):
            size += len(line)
            data = _json(line)
            if number == 1:
                self._compare(data, header)
            elif data is None:
                raise DataError(f"{self.path}, line {number} is not JSON; cut the file there, or choose another --out")
            else:
                self._count(data)
        if not size:
            self._begin(header)
        elif self.path.suffix != ".gz":
            self._file.truncate(size)
        elif not _sound(self.path):
            self._rewrite()

    def _begin(self, header: Mapping[str, object]) -> None:
        """Write the first line, if the file is empty or holds half of it."""
        held = self.path.read_bytes()
        if not _packed(self.path, header).startswith(held):
            raise DataError(f"{self.path} is no recording of `ponder record`; choose another file with --out")
        self._file.truncate(0)
        self.append(header)

    def _compare(self, found: Json | None, header: Mapping[str, object]) -> None:
        """Refuse a file that is something else, or that was recorded in another way."""
        known, wanted = (found or {}).get("recording"), cast(Json, header["recording"])
        if not isinstance(known, dict):
            raise DataError(f"{self.path} is no recording of `ponder record`; choose another file with --out")
        differing = next((key for key in wanted if known.get(key) != wanted[key]), None)
        if differing is not None:
            raise DataError(
                f"{self.path} was recorded with {differing} = {known.get(differing)!r}, not {wanted[differing]!r}; "
                f"give the same settings to go on with it, or another file with --out"
            )

    def _rewrite(self) -> None:
        """Leave nothing behind the last whole line of a gzip file, where what is torn shows no end from outside."""
        temporary = self.path.with_name(f"{self.path.name}.tmp")
        with temporary.open("wb") as file:
            for line in _lines(self.path):
                file.write(gzip.compress(line, mtime=0))
        self._file.close()
        temporary.replace(self.path)
        self._file = _opened(self.path)

    def _count(self, line: Mapping[str, object]) -> None:
        if "samples" not in line:
            return
        self.ids.add(str(line["id"]))
        for role, tokens in cast(Mapping[str, int], line.get("tokens_by_role") or {}).items():
            self.bill[role] = self.bill.get(role, 0) + tokens
        for sample in cast(list[Json], line["samples"]):
            lists = cast(Mapping[str, list[Json]], sample.get("probes_by")) or {"": cast(list[Json], sample["probes"])}
            self.samples += 1
            self.probes += sum(map(len, lists.values()))


def _opened(path: Path) -> io.FileIO:
    """Open the file for appending, and hold a lock on it that ends with this process, however it ends."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = io.FileIO(path, "a")
    except OSError as error:
        raise DataError(
            f"the recording {path} cannot be written ({error.strerror or error}); choose another file with --out"
        ) from None
    if sys.platform != "win32":  # where nobody else may open a file that is being written
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            raise DataError(
                f"another process is recording into {path}; wait for it, or choose another file with --out"
            ) from None
    return file


def _write(file: io.FileIO, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[file.write(view) or 0 :]
    os.fsync(file.fileno())


def _packed(path: Path, line: Mapping[str, object]) -> bytes:
    data = json.dumps(line, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass") + b"\n"
    return gzip.compress(data, mtime=0) if path.suffix == ".gz" else data


def _lines(path: Path) -> Iterator[bytes]:
    """Yield the whole lines of the file, up to where it is torn."""
    with suppress(EOFError, zlib.error, gzip.BadGzipFile), _open(path) as file:
        while line := file.readline(MAX_LINE + 1):
            if not line.endswith(b"\n"):
                return
            yield line


def _open(path: Path) -> IO[bytes]:
    return cast(IO[bytes], gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def _sound(path: Path) -> bool:
    """Whether a gzip file can be unpacked to its end, which is that of a line."""
    last = b"\n"
    try:
        with _open(path) as file:
            while block := file.read(1 << 20):
                last = block
    except (EOFError, zlib.error, gzip.BadGzipFile):
        return False
    return last.endswith(b"\n")


def _json(line: bytes) -> Json | None:
    try:
        data: object = json.loads(line)
    except ValueError:
        return None
    return data if isinstance(data, dict) else None
