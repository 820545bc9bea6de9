from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.train.prm.rows import Kept, Reply, Step

FACTS = {"model": "m", "temperature": 1.0}
ROW = Reply("lab:modular/q", 0, "3+4=0\n❤", True, 5, 7, (Step(5, 1.0, "right", -0.5), Step(7, 0.25)))
BROKEN = (
    '{{"key": "q", "sample": 0, "text": "3+4", "correct": true, "tokens": 1, "spent": 0, "steps": [[{end}, {value}]]}}'
)


def test_what_was_kept_is_there_again(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "in" / "r.jsonl", FACTS)
    kept.add(ROW)
    kept.close()
    again = Kept(tmp_path / "in" / "r.jsonl", FACTS)
    assert again.rows == {("lab:modular/q", 0): ROW}
    again.close()


def test_half_a_line_is_drawn_again(tmp_path: Path) -> None:
    file = tmp_path / "r.jsonl"
    kept = Kept(file, FACTS)
    kept.add(ROW)
    kept.close()
    with file.open("a", encoding="utf-8") as open_file:
        open_file.write('{"key": "lab:mod')
    again = Kept(file, FACTS)
    again.add(ROW)
    again.close()
    assert again.rows == {("lab:modular/q", 0): ROW}
    assert len([json.loads(line) for line in file.read_text("utf-8").splitlines()]) == 3


def test_replies_that_were_drawn_otherwise_are_refused(tmp_path: Path) -> None:
    Kept(tmp_path / "r.jsonl", FACTS).close()
    with pytest.raises(DataError, match=r"drawn otherwise \(temperature = 1.0, and now 0.5\); name another file"):
        Kept(tmp_path / "r.jsonl", {**FACTS, "temperature": 0.5})


@pytest.mark.parametrize(
    "line",
    [
        "no JSON",
        "[]",
        '{"key": "a"}',
        '{"key": 1, "steps": 3}',
        BROKEN.format(end=99, value=1),
        BROKEN.format(end=2, value=7),
        BROKEN.format(end=2, value="NaN"),
        BROKEN.format(end='"2"', value=1),
    ],
)
def test_a_line_that_is_no_reply_is_told(tmp_path: Path, line: str) -> None:
    file = tmp_path / "r.jsonl"
    Kept(file, FACTS).close()
    file.write_text(file.read_text("utf-8") + line + "\n", "utf-8")
    with pytest.raises(DataError, match="line 2 is no reply"):
        Kept(file, FACTS)


def test_another_file_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine\n")
    with pytest.raises(DataError, match="line 1 is no reply"):
        Kept(file, FACTS)
    with pytest.raises(DataError, match=r"cannot be written .*--replies"):
        Kept(tmp_path, FACTS)
    assert file.read_text() == "mine\n"
    short = tmp_path / "short.txt"
    short.write_text("mine, without a line's end")
    with pytest.raises(DataError, match="holds something else"):
        Kept(short, FACTS)
    short.write_bytes(b"\xff\xfe\n")
    with pytest.raises(DataError, match="line 1 is no reply"):
        Kept(short, FACTS)
    assert short.read_bytes() == b"\xff\xfe\n"


def test_a_reply_may_hold_any_character_that_ends_a_line_elsewhere(tmp_path: Path) -> None:
    row = replace(ROW, text="3+4\u2028=0\x85\x0c7 and on")
    kept = Kept(tmp_path / "r.jsonl", FACTS)
    kept.add(row)
    kept.close()
    again = Kept(tmp_path / "r.jsonl", FACTS)
    again.close()
    assert [*again.rows.values()] == [row]


def test_opening_never_empties_the_file(tmp_path: Path) -> None:
    """Whoever is killed right after opening has lost nothing, and nobody else writes meanwhile."""
    file = tmp_path / "r.jsonl"
    kept = Kept(file, FACTS)
    kept.add(ROW)
    kept.close()
    before = file.read_bytes()
    inode = file.stat().st_ino
    again = Kept(file, FACTS)
    assert (file.read_bytes(), file.stat().st_ino) == (before, inode)
    if sys.platform != "win32":
        with pytest.raises(DataError, match=r"another process is writing to .*--replies"):
            Kept(file, FACTS)
    again.close()


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_kill_in_the_first_line_costs_nothing(tmp_path: Path, cut: int) -> None:
    file = tmp_path / "r.jsonl"
    Kept(file, FACTS).close()
    whole = file.read_bytes()
    file.write_bytes(whole[: min(cut, len(whole) - 1)])
    Kept(file, FACTS).close()
    assert file.read_bytes() == whole
