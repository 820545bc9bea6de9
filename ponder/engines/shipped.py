"""Models and adapters in folders that come with their catalogue: a file is used only if its hash is the catalogue's."""

from __future__ import annotations

import hashlib
from pathlib import Path

from ponder.core.errors import DataError, OptionError
from ponder.engines.catalogue import FolderEntry, load_models


def model_folder(name: str) -> Path:
    """Return the folder of a model or adapter that ships with ponder, all of its files checked.

    Raises `OptionError` for a name that has no folder, and `DataError` for a folder that is not whole.
    """
    entry = load_models().find(name)
    if not isinstance(entry, FolderEntry):
        raise OptionError(f"{name} is a file that is downloaded, not a folder; `ponder model path {name}` tells where")
    return shipped_folder(entry)


def shipped_folder(entry: FolderEntry) -> Path:
    """Return an entry's folder, all of its files checked. Raises `DataError`."""
    for file, _ in entry.files:
        shipped_file(entry, file)
    return entry.folder


def shipped_file(entry: FolderEntry, file: str) -> Path:
    """Return one file of an entry's folder, its hash checked. Raises `DataError`."""
    path = entry.folder / file
    try:
        with path.open("rb") as opened:
            found = hashlib.file_digest(opened, "sha256").hexdigest()
    except OSError as error:
        raise _broken(path, entry, f"cannot be read ({error.strerror})") from None
    if found != entry.sha256(file):
        raise _broken(path, entry, "is damaged: it is not the file whose hash the catalogue has")
    return path


def shipped_size(entry: FolderEntry) -> int:
    """Return the bytes of all of an entry's files; a file that is not there has none."""
    paths = [entry.folder / file for file, _ in entry.files]
    return sum(path.stat().st_size for path in paths if path.is_file())


def is_whole(entry: FolderEntry) -> bool:
    """Whether all files are there; what is in them is checked when they are used."""
    return all((entry.folder / file).is_file() for file, _ in entry.files)


def _broken(path: Path, entry: FolderEntry, what: str) -> DataError:
    return DataError(f"{path} {what}; {entry.name} comes with its catalogue: install ponder, or the catalogue, again")
