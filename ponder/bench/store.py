"""One SQLite file for each run: every finished attempt is in it the moment it ends, whatever happens next."""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ponder.core.errors import DataError

VERSION = 1
"""Of the layout below. A newer file is refused, not guessed at."""

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS attempt (
  task TEXT NOT NULL, method TEXT NOT NULL, seed INTEGER NOT NULL, question TEXT NOT NULL,
  correct INTEGER, extracted TEXT, finish TEXT NOT NULL, truncated INTEGER NOT NULL,
  tokens INTEGER NOT NULL, by_role TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
  seconds REAL NOT NULL, first_token_seconds REAL, exact INTEGER NOT NULL, trace TEXT NOT NULL,
  PRIMARY KEY (task, method, seed, question)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failure (
  task TEXT NOT NULL, method TEXT NOT NULL, seed INTEGER NOT NULL, question TEXT NOT NULL,
  error TEXT NOT NULL, tokens INTEGER NOT NULL, at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
);
"""

COLUMNS = (
    "task, method, seed, question, correct, extracted, finish, truncated, tokens, by_role,"
    " prompt_tokens, cached_tokens, seconds, first_token_seconds, exact"
)

_BILLED = "WHERE method NOT IN (SELECT value FROM json_each((SELECT value FROM meta WHERE key = 'derived')))"
"""Leaves out what `set_derived` named."""


@dataclass(frozen=True, slots=True)
class Key:
    """What an attempt is an attempt at."""

    task: str
    method: str
    seed: int
    question: str


@dataclass(frozen=True, slots=True)
class Record:
    """One finished attempt. Tokens are generated ones over all roles; `trace` is JSON text (see `docs/json.md`)."""

    key: Key
    correct: bool | None
    extracted: str | None
    finish: str
    truncated: bool
    tokens: int
    by_role: Mapping[str, int]
    prompt_tokens: int
    cached_tokens: int
    seconds: float
    first_token_seconds: float | None
    exact: bool
    trace: str


class Store:
    """The file of one run. Only one process may write to it at a time; others may read.

    Every attempt is a transaction of its own in a write-ahead log: a process killed at any moment loses none of them.
    """

    def __init__(self, path: Path, *, write: bool = True) -> None:
        self.path = path
        self._lock: sqlite3.Connection | None = None
        if write:
            self._lock = _lock(path)
        elif not os.path.isfile(path):
            raise DataError(f"there is no run at {path.parent}; `ponder bench --out {path.parent}` makes one")
        with _named(path):
            mode = "rwc" if write else "ro"
            self._db = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None)
            if write:
                self._refuse_strangers()
                self._db.execute("PRAGMA journal_mode=WAL")
                self._db.execute("PRAGMA synchronous=NORMAL")
                self._db.executescript(SCHEMA)
            self._check_version(write)

    def _refuse_strangers(self) -> None:
        """Leave another program's database alone."""
        tables = {name for (name,) in self._db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and not {"meta", "attempt"} <= tables:
            raise DataError(f"{self.path} is a database of another program; choose another folder with --out")

    def _check_version(self, write: bool) -> None:
        found = self.meta("version")
        if found is None and write:
            self.set_meta("version", VERSION)
        elif found != VERSION:
            raise DataError(f"{self.path} has layout {found}, and this ponder reads layout {VERSION}; use that version")

    def close(self) -> None:
        """Release the file."""
        self._db.close()
        if self._lock is not None:
            self._lock.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def meta(self, key: str) -> object:
        """Return what was noted under `key`, or None."""
        with _named(self.path):
            row = self._db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
            return json.loads(row[0]) if row else None

    def set_meta(self, key: str, value: object) -> None:
        """Note a JSON value under `key`."""
        with _named(self.path):
            self._db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value, ensure_ascii=False)))

    def has(self, key: Key) -> bool:
        """Whether this attempt is finished."""
        query = "SELECT 1 FROM attempt WHERE task = ? AND method = ? AND seed = ? AND question = ?"
        with _named(self.path):
            found = self._db.execute(query, (key.task, key.method, key.seed, key.question)).fetchone()
        return found is not None

    def add(self, record: Record) -> None:
        """Write one finished attempt. Raises `DataError` if the disk is full or cannot be written."""
        key = record.key
        values = (
            *(key.task, key.method, key.seed, key.question),
            *(record.correct, record.extracted, record.finish, record.truncated, record.tokens),
            *(json.dumps(dict(record.by_role)), record.prompt_tokens, record.cached_tokens),
            *(record.seconds, record.first_token_seconds, record.exact, record.trace),
        )
        with _named(self.path):
            self._db.execute(f"INSERT OR REPLACE INTO attempt VALUES ({','.join('?' * len(values))})", values)

    def fail(self, key: Key, error: str, tokens: int) -> None:
        """Write down an attempt that failed, and what it had generated; it will be tried again."""
        with _named(self.path):
            self._db.execute(
                "INSERT INTO failure (task, method, seed, question, error, tokens) VALUES (?, ?, ?, ?, ?, ?)",
                (key.task, key.method, key.seed, key.question, error, tokens),
            )

    def records(self, *, traces: bool = False, task: str | None = None) -> Iterator[Record]:
        """Yield the finished attempts in a fixed order, without their traces unless asked for."""
        trace = "trace" if traces else "''"
        query = (
            f"SELECT {COLUMNS}, {trace} FROM attempt WHERE ? IS NULL OR task = ? ORDER BY task, method, seed, question"
        )
        with _named(self.path):
            rows = self._db.execute(query, (task, task))
        while True:
            with _named(self.path):
                row = rows.fetchone()
                record = None if row is None else _record(row)
            if record is None:
                return
            yield record

    def find(self, question: str) -> list[Record]:
        """Return every attempt at one question, traces included."""
        query = f"SELECT {COLUMNS}, trace FROM attempt WHERE question = ?"
        with _named(self.path):
            return [_record(row) for row in self._db.execute(query, (question,))]

    def questions(self, limit: int = 5) -> list[str]:
        """Return a few question ids, for messages."""
        with _named(self.path):
            rows = self._db.execute("SELECT DISTINCT question FROM attempt LIMIT ?", (limit,))
            return [row[0] for row in rows]

    def set_derived(self, methods: Sequence[str]) -> None:
        """Note which methods generate nothing: their attempts are made of others, whose bills they repeat."""
        self.set_meta("derived", list(methods))

    def spent(self) -> int:
        """All tokens that this run has generated so far, those of failed attempts included."""
        query = f"SELECT (SELECT TOTAL(tokens) FROM attempt {_BILLED}) + (SELECT TOTAL(tokens) FROM failure)"
        with _named(self.path):
            return int(self._db.execute(query).fetchone()[0])

    def prompts(self) -> tuple[int, int]:
        """Prompt tokens of all finished attempts, and how many of them came from a cache."""
        query = f"SELECT TOTAL(prompt_tokens), TOTAL(cached_tokens) FROM attempt {_BILLED}"
        with _named(self.path):
            row = self._db.execute(query).fetchone()
            return int(row[0]), int(row[1])

    def refusals(self) -> list[tuple[str, int, str]]:
        """Return the methods that could not do their work, in how many attempts, and why in one of them."""
        why = "CASE WHEN json_valid(trace) THEN json_extract(trace, '$.solution.evidence.refused') END"
        # Most traces hold no such word, and need not be parsed.
        query = f"SELECT method, {why} AS why FROM attempt WHERE trace LIKE '%\"refused\":%' AND {why} IS NOT NULL"
        with _named(self.path):
            rows = self._db.execute(f"SELECT method, COUNT(*), MIN(why) FROM ({query}) GROUP BY method").fetchall()
            return [(method, count, reason) for method, count, reason in rows]

    def failures(self) -> int:
        """How many attempts failed so far and were not made good later."""
        query = (
            "SELECT COUNT(*) FROM (SELECT DISTINCT task, method, seed, question FROM failure EXCEPT"
            " SELECT task, method, seed, question FROM attempt)"
        )
        with _named(self.path):
            return int(self._db.execute(query).fetchone()[0])


def _record(row: tuple[object, ...]) -> Record:
    text = cast(tuple[str, str, int, str], row[:4])
    correct = None if row[4] is None else bool(row[4])
    values = cast(tuple[str | None, str, int, int, str, int, int, float, float | None, int, str], row[5:])
    extracted, finish, truncated, tokens, by_role, prompt, cached, seconds, first, exact, trace = values
    return Record(
        key=Key(*text),
        correct=correct,
        extracted=extracted,
        finish=finish,
        truncated=bool(truncated),
        tokens=tokens,
        by_role=json.loads(by_role),
        prompt_tokens=prompt,
        cached_tokens=cached,
        seconds=seconds,
        first_token_seconds=first,
        exact=bool(exact),
        trace=trace,
    )


def _lock(path: Path) -> sqlite3.Connection:
    """Hold a lock that ends with this process, however it ends. Raises `DataError` if another run holds it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"the folder {path.parent} cannot be made ({error.strerror or error}); choose another one with --out"
        ) from None
    with _named(path):
        lock = sqlite3.connect(path.with_suffix(".lock"), timeout=0, isolation_level=None)
        try:
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.DatabaseError as error:
            lock.close()
            if "locked" not in str(error):
                raise
            raise DataError(
                f"another run is writing to {path.parent}; wait for it, or choose another folder with --out"
            ) from error
    return lock


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Turn what SQLite says into a sentence with the file's name and the remedy."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "disk is full" in text or "disk I/O" in text:
            remedy = "free some space and start the same command again; what is finished is kept"
        elif "not a database" in text or "malformed" in text:
            remedy = "the file is not a run of ponder's; choose another folder with --out"
        else:
            remedy = "check that the folder can be written"
        raise DataError(f"{path}: {text}; {remedy}") from error
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{path} is damaged: it holds what ponder never wrote; choose another folder with --out"
        ) from error
