"""Files that are read again once they change, such as trained routers; a broken one leaves what was there before."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Generic, Protocol, TypeVar, runtime_checkable

from ponder.core.errors import DataError

T = TypeVar("T")
Stamp = tuple[tuple[int, int], ...]

_LOG = logging.getLogger("ponder.files")


@runtime_checkable
class Reads(Protocol):
    """A method or a scorer that reads files, so that whoever configures it can be told early of one that is no use."""

    def read_files(self) -> None:
        """Read them. Raises `DataError` for one that is missing, broken or of another version."""
        ...


class Files(Generic[T]):
    """What `load` makes of a file or a folder, kept until the file changes.

    A file that cannot be read any more, or is of another version, is told to the log once, and what was read before
    goes on. To look whether a file has changed takes microseconds.
    """

    def __init__(self, load: Callable[[Path], T]) -> None:
        self._load = load
        self._held: dict[Path, T] = {}
        self._seen: dict[Path, Stamp] = {}
        self._lock = threading.Lock()

    async def get(self, path: Path) -> T:
        """Return what the file holds now, read outside the event loop. Raises `DataError`, as `read` does."""
        held = self._held.get(path)
        if held is not None and self._seen[path] == _stamp(path):
            return held
        return await asyncio.to_thread(self.read, path)

    def read(self, path: Path) -> T:
        """Return what the file holds now. Raises `DataError` for one that has never been readable."""
        stamp = _stamp(path)
        with self._lock:
            held = self._held.get(path)
            if held is not None and self._seen[path] == stamp:
                return held
            if held is not None:
                # Whoever asks while the new file is read is served from the old one.
                self._seen[path] = stamp
        try:
            found = self._load(path)
        except DataError as error:
            if held is None:
                raise
            _LOG.warning("%s changed and is not taken, the one read before goes on: %s", path, error)
            return held
        with self._lock:
            self._held[path], self._seen[path] = found, stamp
        if held is not None:
            _LOG.warning("%s changed and was read again", path)
        return found


def _stamp(path: Path) -> Stamp:
    """Return when a file, or those of a folder, changed last, and how long they are; nothing for one that is gone."""
    try:
        parts = sorted(path.iterdir()) if path.is_dir() else [path]
        return tuple((part.stat().st_mtime_ns, part.stat().st_size) for part in parts)
    except OSError:
        return ()
