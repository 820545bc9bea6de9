from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from support.records import record

from ponder.bench.store import Key, Record, Store
from ponder.core.errors import DataError


def test_what_is_added_comes_back(tmp_path: Path) -> None:
    added = record("q1")
    with Store(tmp_path / "run.sqlite") as store:
        assert not store.has(added.key)
        store.add(added)
        assert store.has(added.key)
        assert list(store.records(traces=True)) == [added]
        assert store.find("q1") == [added]
        assert store.find("q2") == []


@pytest.mark.parametrize("correct", [True, False, None])
def test_a_verdict_keeps_its_three_values(tmp_path: Path, correct: bool | None) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.add(replace(record("q"), correct=correct, first_token_seconds=None))
        (found,) = store.records()
    assert found.correct is correct
    assert found.first_token_seconds is None


def test_records_come_in_a_fixed_order_whatever_the_order_of_writing(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        for question in ("b", "a", "c"):
            for method in ("sample", "concise_cot"):
                store.add(record(question, method=method))
        keys = [(r.key.method, r.key.question) for r in store.records()]
    assert keys == sorted(keys)


def test_methods_that_could_not_do_their_work_are_told_with_the_reason(tmp_path: Path) -> None:
    def traced(question: str, method: str, **solution: object) -> Record:
        return replace(record(question, method=method), trace=json.dumps({"solution": solution}))

    with Store(tmp_path / "run.sqlite") as store:
        store.add(traced("q1", "dynasor", evidence={"refused": "no marks"}))
        store.add(traced("q2", "dynasor", evidence={"refused": "no marks"}))
        store.add(traced("q3", "dynasor", evidence={"exit": "natural"}))
        store.add(traced("q1", "deer", evidence={"refused": 'no "marks"'}))
        store.add(traced("q1", "sample", answer='they said "refused": "x"', evidence={}))
        store.add(record("q2", method="sample"))
        assert store.refusals() == [("deer", 1, 'no "marks"'), ("dynasor", 2, "no marks")]


def test_spending_counts_failed_attempts_too(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        assert store.spent() == 0
        store.add(record("q1", tokens=7))
        store.fail(Key("gsm8k", "sample", 0, "q2"), "broke off", 5)
        assert store.spent() == 12
        assert store.failures() == 1
        store.add(record("q2", tokens=4))
        assert store.failures() == 0, "an attempt that was made good is no failure any more"
        assert store.spent() == 16
        assert store.prompts() == (22, 6)


def test_two_writers_are_refused_by_name(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite"), pytest.raises(DataError, match=r"another run is writing .* --out"):
        Store(tmp_path / "run.sqlite")
    Store(tmp_path / "run.sqlite").close()


def test_a_reader_needs_no_lock(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.add(record("q1"))
        with Store(tmp_path / "run.sqlite", write=False) as reader:
            assert [r.key.question for r in reader.records()] == ["q1"]


def test_a_missing_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"there is no run at .*nowhere; `ponder bench --out"):
        Store(tmp_path / "nowhere" / "run.sqlite", write=False)


def test_a_foreign_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run.sqlite").write_bytes(b"this is no database, but it is long enough to be looked at" * 40)
    with pytest.raises(DataError, match=r"not a database; the file is not a run"):
        Store(tmp_path / "run.sqlite")


def test_a_newer_layout_is_refused(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.set_meta("version", 99)
    with pytest.raises(DataError, match="has layout 99"):
        Store(tmp_path / "run.sqlite")


def test_a_full_disk_says_so_and_keeps_what_is_finished(tmp_path: Path) -> None:
    """SQLite's own page limit gives the very error of a full disk."""
    with Store(tmp_path / "run.sqlite") as store:
        pages = store._db.execute("PRAGMA page_count").fetchone()[0]
        store._db.execute(f"PRAGMA max_page_count = {pages + 3}")
        kept = 0

        def fill() -> None:
            nonlocal kept
            while True:
                store.add(record(f"q{kept:05}"))
                kept += 1

        with pytest.raises(DataError, match=r"full; free some space .* kept"):
            fill()
        assert kept > 0
    with Store(tmp_path / "run.sqlite") as store:
        assert len(list(store.records())) == kept


KILLED = """
import sys
from pathlib import Path
from support.records import record
from ponder.bench.store import Store
store = Store(Path(sys.argv[1]))
for i in range(1_000_000):
    store.add(record(f"q{i:07}"))
    print(i, flush=True)
"""


def test_kill_9_loses_nothing_that_was_finished(tmp_path: Path) -> None:
    file = tmp_path / "run.sqlite"
    for _ in range(2):  # the second round also opens what the first one left
        env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
        child = subprocess.Popen([sys.executable, "-c", KILLED, str(file)], stdout=subprocess.PIPE, env=env)
        assert child.stdout is not None
        last = -1
        while last < 50:
            last = int(child.stdout.readline())
        os.kill(child.pid, signal.SIGKILL)
        rest = child.stdout.read().split(b"\n")
        child.stdout.close()
        child.wait()
        said = max([last, *(int(line) for line in rest[:-1] if line)])
        with Store(file) as store:
            assert len(list(store.records())) >= said + 1
            assert store._db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        time.sleep(0)


def test_one_file_holds_the_run(tmp_path: Path) -> None:
    with Store(tmp_path / "run.sqlite") as store:
        store.add(record("q1"))
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"run.sqlite", "run.lock"}
    with sqlite3.connect(tmp_path / "run.sqlite") as db:
        assert db.execute("SELECT COUNT(*) FROM attempt").fetchone() == (1,)
    db.close()


def test_another_programs_database_is_left_alone(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "run.sqlite")
    db.execute("CREATE TABLE theirs (x)")
    db.commit()
    db.close()
    with pytest.raises(DataError, match="of another program"):
        Store(tmp_path / "run.sqlite")
    db = sqlite3.connect(tmp_path / "run.sqlite")
    assert db.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]
    db.close()
