"""What clumsy users, broken files and full disks bring about: one sentence each, and nothing finished is lost."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from support.command import Command, Ran

ECHO = ("--model", "echo", "--no-report", "--methods", "sample")


def refused(ran: Ran, *words: str) -> None:
    """Check that a command failed with a sentence that holds `words`."""
    assert ran.code != 0
    said = ran.err.replace("\n", " ")
    assert all(word in said for word in words), ran.err
    assert "Traceback" not in ran.err


def shell(command: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `ponder` in a shell, in an environment that differs from ours."""
    known = {**os.environ, "PONDER_CACHE": str(folder / "cache"), **environment}
    line = command.replace("ponder", f"{sys.executable} -m ponder", 1)
    return subprocess.run(line, shell=True, cwd=folder, env=known, capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("columns", ["", "wide", "-3", "0", "99999999999"])
def test_a_width_that_is_none_is_passed_over(ponder: Command, monkeypatch: pytest.MonkeyPatch, columns: str) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    assert "gsm8k" in ponder("tasks").out


def test_an_output_that_lacks_letters_gets_question_marks_and_escaped_json(tmp_path: Path) -> None:
    ascii_only = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    table = shell("ponder methods", tmp_path, **ascii_only)
    assert (table.returncode, "?" in table.stdout) == (0, True), table.stderr
    shown = shell("ponder methods --json", tmp_path, **ascii_only)
    assert any("NoThinking" in row["summary"] for row in json.loads(shown.stdout)), shown.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("command", ["tasks", "tasks --json", "--help", "ask hi --model echo"])
def test_an_output_that_is_full_says_so(tmp_path: Path, command: str) -> None:
    ran = shell(f"ponder {command} > /dev/full", tmp_path)
    assert ran.returncode == 1
    assert "ponder: the output cannot be used (No space left on device)" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert "Exception ignored" not in ran.stderr


@pytest.mark.skipif(os.name == "nt", reason="closes streams in a shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_streams_that_are_closed_do_no_harm(tmp_path: Path, closed: str) -> None:
    ran = shell(f"ponder ask hi --model echo {closed}", tmp_path)
    assert (ran.returncode, "Traceback" in ran.stderr) == (0, False), ran.stderr


@pytest.mark.parametrize("question", ["\udcff\udcfe", "half \ud800"])
def test_a_question_that_is_not_text(ponder: Command, question: str) -> None:
    ran = ponder("ask", question, "--model", "echo")
    refused(ran, "the question holds bytes that are not UTF-8")
    refused(ponder("ask", "hi", "--system", question, "--model", "echo"), "--system holds bytes")
    assert ran.out == ""


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (("", "--out", "r"), ("no task is named",)),
        (("gsm8k,gsm8k",), ("gsm8k is in the list of tasks twice",)),
        (("gsm8k", "--limit", "9" * 30), ("--limit", "range")),
        (("gsm8k", "--concurrency", "9" * 9), ("--concurrency", "range")),
        (("gsm8k", "--seconds", "nan"), ("--seconds", "nan is not a finite number")),
        (("gsm8k", "--temperature", "inf"), ("--temperature", "inf is not a finite number")),
        (("gsm8k", "--margin", "nan"), ("--margin", "finite")),
        (("gsm8k", "--baseline", "smaple"), ("the baseline 'smaple' is not in this run; did you mean 'sample'?",)),
        (("gsm8k", "--beside", "nowhere"), ("there is no run at nowhere",)),
        (("gsm8k", "--out", "a-file"), ("the folder a-file cannot be made", "--out")),
        (("gsm8k", "--out", "a-file/below"), ("cannot be made", "--out")),
        (("gsm8k", "--out", "n" * 300), ("cannot be made (File name too long)", "--out")),
        (("jsonl:empty.jsonl",), ("empty.jsonl holds no question",)),
    ],
)
def test_a_run_that_cannot_be_made_is_refused_before_it_starts(
    ponder: Command, args: tuple[str, ...], words: tuple[str, ...]
) -> None:
    Path("a-file").touch()
    Path("empty.jsonl").touch()
    ran = ponder("bench", *args, *ECHO)
    refused(ran, *words)
    assert ran.out == ""
    assert not list(Path().rglob("attempts.jsonl"))


def test_names_in_brackets_are_no_styles(ponder: Command) -> None:
    path = Path("[/red] [bold]x.jsonl")
    path.parent.mkdir()
    path.write_text('{"question": "2+2", "answer": "4"}\n')
    for report in (("bench", f"jsonl:{path},svamp", *ECHO, "--limit", "1", "--out", "r"), ("report", "r")):
        ran = ponder(*report)
        assert ran.code == 0, ran.err
        assert str(path) in ran.out


def ruin(statement: str) -> None:
    """Change what a run's file holds."""
    db = sqlite3.connect("r/run.sqlite")
    db.execute(statement)
    db.commit()
    db.close()


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE meta SET value = '{'", "is damaged"),
        ("UPDATE meta SET value = '{}' WHERE key = 'spec'", "does not say which model it is of"),
        ("UPDATE attempt SET by_role = 'x'", "is damaged"),
    ],
)
def test_a_run_that_holds_nonsense_is_named(ponder: Command, statement: str, words: str) -> None:
    assert ponder("bench", "svamp", "--limit", "3", "--out", "r", *ECHO).code == 0
    ruin(statement)
    for command in (("report", "r"), ("compare", "r", "--json")):
        refused(ponder(*command), "r/run.sqlite", words)


def test_an_export_that_cannot_be_written_keeps_the_results(ponder: Command) -> None:
    Path("r/attempts.jsonl").mkdir(parents=True)
    ran = ponder("bench", "svamp", "--limit", "3", "--out", "r", *ECHO)
    refused(ran, "the export r/attempts.jsonl cannot be written", "`ponder report r`")
    Path("r/attempts.jsonl").rmdir()
    assert ponder("bench", "svamp", "--limit", "3", "--out", "r", "--json", *ECHO).json["run"]["kept"] == 3  # type: ignore[index]


def test_failures_are_told_beside_the_json(ponder: Command) -> None:
    Path("boom.py").write_text(
        "from dataclasses import dataclass\n"
        "@dataclass(frozen=True)\n"
        "class Boom:\n"
        '    """Fails."""\n'
        "    def needs(self):\n"
        "        return {}\n"
        "    async def solve(self, problem, run):\n"
        '        raise RuntimeError("[/boom]")\n'
        'METHODS = {"boom": Boom}\n'
    )
    args = ("bench", "svamp", "--limit", "3", "--out", "r", "--plugin", "boom.py", "--no-report", "-m", "echo")
    ran = ponder(*args, "--methods", "sample,boom", "--json")
    assert (ran.code, ran.json["run"]["failed"]) == (1, 3)  # type: ignore[index]
    refused(ran, "3 attempts failed, the last one with: RuntimeError: [/boom]. The same command tries them again.")
    assert "[/boom]" in ponder(*args, "--methods", "boom").out
