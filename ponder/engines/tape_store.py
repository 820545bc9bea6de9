"""The file behind a tape: one SQLite database with a row for each call, written when the call ends."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, cast

from ponder.core.engine import Cap, Sampling, Think, call_key, prompt_fields, sampling_fields
from ponder.core.errors import DataError
from ponder.core.problem import Prompt

VERSION = 1
APPLICATION = 0x506E5470
"""SQLite's application id: the letters `PnTp`."""

Ending = Literal["finished", "left", "error"]

_SCHEMA = f"""
BEGIN;
CREATE TABLE header (name TEXT NOT NULL, caps TEXT NOT NULL, think TEXT NOT NULL, created REAL NOT NULL);
CREATE TABLE contexts (id INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, body TEXT NOT NULL);
CREATE TABLE calls (
  opened INTEGER PRIMARY KEY, key TEXT NOT NULL, context INTEGER NOT NULL, request BLOB NOT NULL, reply BLOB NOT NULL,
  ending TEXT NOT NULL, error TEXT, tokens INTEGER NOT NULL, recorded REAL NOT NULL);
CREATE INDEX calls_by_key ON calls (key, opened);
CREATE INDEX calls_by_context ON calls (context);
PRAGMA application_id = {APPLICATION};
PRAGMA user_version = {VERSION};
COMMIT;
"""

_CONTEXT = ("messages", "tools", "response_format", "thinking")
"""The fields of a prompt that many calls share; they are kept once."""


@dataclass(frozen=True, slots=True)
class Header:
    """Which engine was recorded, and what it could do."""

    name: str
    caps: frozenset[Cap]
    think: Think


@dataclass(frozen=True, slots=True)
class Entry:
    """One recorded call. `reply` and `error` are JSON texts; `opened` orders calls as they were begun."""

    opened: int
    key: str
    reply: str
    ending: Ending
    error: str | None = None
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class TapeInfo:
    """What a tape holds. Times are seconds since 1970, `size` is bytes, `tokens` those generated in all calls."""

    path: str
    version: int
    engine: str
    calls: int
    finished: int
    left: int
    errors: int
    tokens: int
    first: float | None
    last: float | None
    size: int


def connect(path: Path, *, write: bool) -> sqlite3.Connection:
    """Open a tape. Raises `DataError` if it is missing, in use, broken, of another kind, or too new."""
    if not write and not path.is_file():
        raise DataError(f"there is no tape {path}; record one with ponder.engines.tape.Recorder")
    with explained(path):
        if write:
            db = sqlite3.connect(path, isolation_level=None, timeout=0.2, check_same_thread=False)
        else:
            uri = path.resolve().as_uri() + "?mode=ro"
            db = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0.2, check_same_thread=False)
        try:
            _prepare(db, path, write)
        except BaseException:
            db.close()
            raise
    return db


def _prepare(db: sqlite3.Connection, path: Path, write: bool) -> None:
    """Check that the file is a tape of this version; make it one if it is new and to be written."""
    if write:
        # One writer at a time: the lock goes with the process, however that ends.
        db.execute("PRAGMA locking_mode = EXCLUSIVE")
    application = _pragma(db, "application_id")
    tables = int(db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    if tables == 0 and application in (0, APPLICATION):
        if not write:
            raise DataError(f"the tape {path} is empty: nothing was recorded; record the run again")
    elif application != APPLICATION:
        raise DataError(f"{path} is an SQLite file but not a tape; give the path of a tape, or one that does not exist")
    version = _pragma(db, "user_version")
    if version > VERSION:
        raise DataError(f"{path} is a tape of version {version}, and this ponder reads up to {VERSION}; upgrade ponder")
    if write:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute("PRAGMA secure_delete = ON")
        if tables == 0:
            db.executescript(_SCHEMA)


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into sentences that name the tape and the remedy."""
    try:
        yield
    except sqlite3.Error as error:
        code = error.sqlite_errorname if isinstance(error, sqlite3.OperationalError | sqlite3.DatabaseError) else ""
        remedy = {
            "SQLITE_BUSY": "another run is writing to it; wait for it to end, or take another path",
            "SQLITE_LOCKED": "another run is writing to it; wait for it to end, or take another path",
            "SQLITE_NOTADB": "it is no SQLite file; give the path of a tape",
            "SQLITE_FULL": "the disk is full; free some space: what was recorded is safe",
            "SQLITE_IOERR": "the disk is full or fails; free some space: what was recorded is safe",
            "SQLITE_CANTOPEN": "it cannot be opened; check that the folder exists and that you may write to it",
            "SQLITE_READONLY": "it may not be written; check its permissions",
        }.get("_".join(code.split("_")[:2]), f"SQLite says: {error}")
        raise DataError(f"the tape {path} cannot be used: {remedy}") from error


def write_header(db: sqlite3.Connection, header: Header, path: Path) -> None:
    """Store which engine is recorded. Raises `DataError` if the tape already belongs to another one."""
    old = read_header(db)
    if old is None:
        caps = json.dumps(sorted(cap.name for cap in header.caps))
        row = (header.name, caps, json.dumps(asdict(header.think)), time.time())
        db.execute("INSERT INTO header VALUES (?, ?, ?, ?)", row)
    elif old != header:
        raise DataError(f"the tape {path} records another engine: {_unlike(old, header)}; take a new path")


def _unlike(old: Header, new: Header) -> str:
    if old.name != new.name:
        return f"{old.name}, not {new.name}"
    if old.think != new.think:
        return f"its think marks are {old.think}, not {new.think}"
    return "it differs in " + ", ".join(sorted(cap.name for cap in old.caps ^ new.caps))


def read_header(db: sqlite3.Connection) -> Header | None:
    """Return the recorded engine, or None on a tape that was only just made."""
    row = db.execute("SELECT name, caps, think FROM header").fetchone()
    if row is None:
        return None
    return Header(row[0], frozenset(Cap[name] for name in json.loads(row[1])), Think(**json.loads(row[2])))


def insert(db: sqlite3.Connection, prompt: Prompt, sampling: Sampling, entry: Entry, recorded: float) -> None:
    """Write one call, all of it or nothing."""
    fields = flatten(prompt, sampling)
    body = _dumps({name: fields.pop(name) for name in _CONTEXT})
    digest = hashlib.blake2b(body.encode(), digest_size=16).hexdigest()
    db.execute("BEGIN")
    try:
        db.execute("INSERT OR IGNORE INTO contexts (digest, body) VALUES (?, ?)", (digest, body))
        (context,) = db.execute("SELECT id FROM contexts WHERE digest = ?", (digest,)).fetchone()
        packed = (_pack(_dumps(fields)), _pack(entry.reply))
        row = (entry.opened, entry.key, context, *packed, entry.ending, entry.error, entry.tokens, recorded)
        db.execute("INSERT INTO calls VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def find(db: sqlite3.Connection, key: str, repeat: int) -> Entry | None:
    """Return recording number `repeat` (from 0, in the order in which calls were begun) of one call, or None."""
    row = db.execute(
        "SELECT opened, reply, ending, error, tokens FROM calls WHERE key = ? ORDER BY opened LIMIT 1 OFFSET ?",
        (key, repeat),
    ).fetchone()
    return None if row is None else Entry(row[0], key, _unpack(row[1]), cast(Ending, row[2]), row[3], row[4])


def nearest_difference(db: sqlite3.Connection, prompt: Prompt, sampling: Sampling, scan: int = 5000) -> str:
    """Say in which fields the nearest of the first `scan` recordings differs from a call that has none."""
    asked = flatten(prompt, sampling)
    body = _dumps({name: asked[name] for name in _CONTEXT})
    rows = db.execute(
        "SELECT contexts.body, calls.request, calls.key FROM calls JOIN contexts ON contexts.id = calls.context "
        "ORDER BY contexts.body != ?, calls.opened LIMIT ?",
        (body, scan),
    )
    wanted = call_key(prompt, sampling)
    best: dict[str, object] | None = None
    score: tuple[int, int] | None = None
    for context, request, key in rows:
        if key == wanted:
            return "it was recorded less often than it is asked now"
        recorded: dict[str, object] = {**json.loads(context), **json.loads(_unpack(request))}
        differing = [name for name in {**recorded, **asked} if recorded.get(name) != asked.get(name)]
        rank = (len(differing), -sum(_common(str(recorded.get(name)), str(asked.get(name))) for name in differing))
        if score is None or rank < score:
            best, score = recorded, rank
    if best is None:
        return "the tape holds no call at all"
    names = (name for name in {**best, **asked} if best.get(name) != asked.get(name))
    found = [_difference(name, best.get(name), asked.get(name)) for name in names]
    return "the nearest recording differs in " + "; ".join(found)


def _difference(name: str, recorded: object, asked: object) -> str:
    old, new = (value if isinstance(value, str) else _dumps(value) for value in (recorded, asked))
    at = _common(old, new)
    if len(old) + len(new) < 60:
        return f"{name} (recorded {old!r}, asked {new!r})"
    return f"{name} from character {at} on (recorded {old[at : at + 20]!r}, asked {new[at : at + 20]!r})"


def _common(a: str, b: str) -> int:
    """Return the length of the common beginning of two strings."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[:middle] == b[:middle] else (low, middle - 1)
    return low


def flatten(prompt: Prompt, sampling: Sampling) -> dict[str, object]:
    """Return every field of a call by name, as it looks after a trip through JSON."""
    value: Mapping[str, object] = json.loads(_dumps({**prompt_fields(prompt), **sampling_fields(sampling)}))
    return dict(value)


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def _pack(text: str) -> bytes:
    # A method that looks every few tokens sends its growing prefix each time: level 1 keeps that small at little cost.
    return zlib.compress(text.encode(), 1)


def _unpack(blob: bytes) -> str:
    return zlib.decompress(blob).decode()


def info(path: Path) -> TapeInfo:
    """Count what a tape holds. Raises `DataError` if it is none."""
    db = connect(path, write=False)
    try:
        with explained(path):
            header = read_header(db)
            ends = dict(db.execute("SELECT ending, count(*) FROM calls GROUP BY ending").fetchall())
            tokens, first, last = db.execute(
                "SELECT coalesce(sum(tokens), 0), min(recorded), max(recorded) FROM calls"
            ).fetchone()
            version = _pragma(db, "user_version")
    finally:
        db.close()
    counts = (sum(ends.values()), ends.get("finished", 0), ends.get("left", 0), ends.get("error", 0))
    name = header.name if header else ""
    return TapeInfo(str(path), version, name, *counts, tokens, first, last, path.stat().st_size)


def purge(path: Path, before: float | None = None) -> int:
    """Delete the calls recorded before a time (seconds since 1970), or all of them; return how many went.

    What is deleted is overwritten and the file shrinks: nothing of it can be read back.
    """
    if not path.is_file():
        raise DataError(f"there is no tape {path}; nothing was purged")
    db = connect(path, write=True)
    try:
        with explained(path):
            limit = float("inf") if before is None else before
            gone = db.execute("DELETE FROM calls WHERE recorded < ?", (limit,)).rowcount
            db.execute("DELETE FROM contexts WHERE id NOT IN (SELECT context FROM calls)")
            db.execute("VACUUM")
            finish(db)
    finally:
        db.close()
    return gone


def finish(db: sqlite3.Connection) -> None:
    """Fold the write-ahead log into the one file, so that it can be moved, or read where nothing may be written."""
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.execute("PRAGMA journal_mode = DELETE")
