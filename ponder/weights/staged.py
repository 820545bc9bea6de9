"""Output that is there whole or not at all: written beside its place, then moved there."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile

from ponder.core.errors import DataError


@contextmanager
def staged_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to write into, which becomes `out` at the end of the block; after an error nothing is left.

    Raises `DataError` where `out` is there and holds something, and where it cannot be written (a full disk).
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not an empty folder; name another, or remove it first")
    stage = out.parent / f".{out.name}.{os.getpid()}.partial"
    with _told(out):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            stage.mkdir()
            yield stage
            if out.exists():
                out.rmdir()
            os.replace(stage, out)
        finally:
            shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def staged_file(out: Path) -> Iterator[Path]:
    """Yield a file name to write to, which becomes `out` at the end of the block and replaces what was there.

    Raises `DataError` where `out` is a folder or cannot be written (a full disk).
    """
    if out.is_dir():
        raise DataError(f"{out} is a folder; name a file in it")
    stage = out.parent / f".{out.name}.{os.getpid()}.partial"
    with _told(out):
        try:
            out.parent.mkdir(parents=True, exist_ok=True)
            yield stage
            os.replace(stage, out)
        finally:
            stage.unlink(missing_ok=True)


def check_place(out: Path) -> None:
    """Raise `DataError` where nothing can be written beside `out`: better told before a long work than behind it."""
    with _told(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryFile(dir=out.parent):
            pass


@contextmanager
def _told(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{out} could not be written ({error.strerror or error}); check its path, its rights and the free space"
        ) from None
