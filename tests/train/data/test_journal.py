"""The journal of a long job: what a kill leaves behind, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.train.data.journal import Journal

MADE = {"made_by": "a test", "seed": 1}


def test_lines_are_there_when_append_returns_and_the_next_session_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "j.jsonl"
    with Journal(path, MADE) as journal:
        journal.append({"id": "a", "text": "ä\n"})
        assert path.read_bytes().count(b"\n") == 2
    with Journal(path, MADE) as again:
        assert again.ids == {"a"}
        again.append({"id": "b"})
        assert [line["id"] for line in again.lines()] == ["a", "b"]
    assert json.loads(path.read_text("utf-8").splitlines()[0]) == MADE


@pytest.mark.parametrize("cut", range(1, 12))
def test_half_a_line_is_dropped_wherever_it_was_torn(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, MADE) as journal:
        journal.append({"id": "a"})
        journal.append({"id": "b"})
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(path, MADE) as again:
        assert again.ids == {"a"}
        again.append({"id": "c"})
        assert [line["id"] for line in again.lines()] == ["a", "c"]


def test_half_a_first_line_is_written_anew(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, MADE):
        whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with Journal(path, MADE):
            assert path.read_bytes() == whole


@pytest.mark.parametrize("text", ["hello", "hello\n", "[1]\n", '{"id": "a"}\n'])
def test_another_file_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "mine.jsonl"
    path.write_text(text)
    with pytest.raises(DataError, match="was not made by this command; choose another file"):
        Journal(path, MADE)
    assert path.read_text() == text


def test_other_settings_are_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, MADE):
        pass
    with pytest.raises(DataError, match="made with seed = 1, not 2; give the same settings"):
        Journal(path, {**MADE, "seed": 2})
    with Journal(path, MADE):
        pass


def test_a_broken_line_in_the_middle_is_named(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    path.write_text(json.dumps(MADE) + '\n{"id": \n{"id": "b"}\n')
    with pytest.raises(DataError, match="line 2 is not JSON"):
        Journal(path, MADE)


def test_only_one_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    code = (
        "import sys; from pathlib import Path; from ponder.train.data.journal import Journal\n"
        "try: Journal(Path(sys.argv[1]), {'made_by': 'a test', 'seed': 1})\n"
        "except Exception as error: print(error)"
    )
    with Journal(path, MADE):
        done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert f"another process is writing to {path}" in done.stdout


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written .*; choose another file with --out"):
        Journal(tmp_path / "file" / "j.jsonl", MADE)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_keeps_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    with Journal(path, MADE) as journal:
        journal.append({"id": "a"})
        before = path.read_bytes()
        real = os.dup(journal._file.fileno())
        full = os.open("/dev/full", os.O_WRONLY)
        os.dup2(full, journal._file.fileno())
        with pytest.raises(DataError, match=r"cannot be written .*; what is there is kept: make room"):
            journal.append({"id": "b"})
        os.dup2(real, journal._file.fileno())
        os.close(full)
        os.close(real)
        assert journal.ids == {"a"}
    assert path.read_bytes() == before
