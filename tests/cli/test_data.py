from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import cast

import pytest
from support.command import Command

from ponder.cli.data import Summary
from ponder.train.lab.table import FAMILIES

FACTS = {"messages", "id", "difficulty", "language", "answer", "minimal", "exit"}


def rows(file: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]


def summary(ponder: Command, *args: str) -> dict[str, object]:
    ran = ponder("data", "lab", *args, "--json")
    assert (ran.code, ran.err) == (0, "")
    return cast(dict[str, object], ran.json)


def test_conversations_are_written_and_summed_up(ponder: Command) -> None:
    ran = ponder("data", "lab", "addition", "modular:links=1-3", "--count", "9", "--out", "train.jsonl")
    assert ran.code == 0
    made = rows("train.jsonl")
    assert len(made) == 9
    assert all(set(row) == FACTS for row in made)
    minimal = sum(len(str(row["minimal"])) for row in made) / 9
    digest = hashlib.sha256(Path("train.jsonl").read_bytes()).hexdigest()
    first, second, third = ran.out.splitlines()
    assert first == "train.jsonl: 9 rows (addition 5, modular:links=1-3 4)"
    assert second.startswith(f"characters in the mean: minimal {minimal:.1f}, thought ")
    assert third == f"sha256 {digest}"


def test_the_summary_as_json_has_the_same_facts(ponder: Command) -> None:
    found = summary(ponder, "directional", "--count", "7", "--passes", "3", "--out", "a/b/train.jsonl")
    made = rows("a/b/train.jsonl")
    thoughts = [
        str(cast(list[dict[str, str]], row["messages"])[1]["content"])
        .partition("\n</think>")[0]
        .removeprefix("<think>\n")
        for row in made
    ]
    assert found == {
        "schema": 1,
        "file": os.path.join("a", "b", "train.jsonl"),
        "rows": 7,
        "families": {"directional": 7},
        "minimal_characters": sum(len(str(row["minimal"])) for row in made) / 7,
        "thought_characters": sum(map(len, thoughts)) / 7,
        "sha256": hashlib.sha256(Path("a/b/train.jsonl").read_bytes()).hexdigest(),
    }
    assert cast(float, found["thought_characters"]) > 3 * cast(float, found["minimal_characters"])


def test_the_same_command_writes_the_same_bytes(ponder: Command) -> None:
    command = ("algebra", "addition", "--count", "40", "--slips", "0.5", "--seed")
    one = summary(ponder, *command, "7", "--out", "one.jsonl")
    two = summary(ponder, *command, "7", "--out", "two.jsonl")
    other = summary(ponder, *command, "8", "--out", "other.jsonl")
    assert Path("one.jsonl").read_bytes() == Path("two.jsonl").read_bytes()
    assert one["sha256"] == two["sha256"] != other["sha256"]


@pytest.mark.parametrize(
    ("args", "sha256"),
    [
        (("--seed", "1", "--minimal"), "c4d3ca70daa39049436abe06648e28fcbfe66c6de313e9176318e7905530bfd7"),
        (
            ("--seed", "2", "--passes", "1.3", "--slips", "0.3"),
            "92abf9f93e2da41e12251b034d5085bf82756d746707c0aef6adf72112fdf856",
        ),
    ],
)
def test_the_data_of_models_that_were_trained_comes_again(ponder: Command, args: tuple[str, ...], sha256: str) -> None:
    found = summary(ponder, "arithmetic:level=1-5,language=mix", "--count", "300", *args, "--out", "x.jsonl")
    assert found["sha256"] == sha256


def test_minimal_thoughts_are_the_minimal_chains(ponder: Command) -> None:
    found = summary(ponder, "modular", "--count", "12", "--minimal", "--out", "x.jsonl")
    assert found["minimal_characters"] == found["thought_characters"]
    for row in rows("x.jsonl"):
        reply = cast(list[dict[str, str]], row["messages"])[1]["content"]
        assert reply == f"<think>\n{row['minimal']}\n</think>\n\n\\boxed{{{row['answer']}}}"
        assert reply[: cast(int, row["exit"])] == f"<think>\n{row['minimal']}"


def test_questions_are_a_benchmark(ponder: Command) -> None:
    ran = ponder("data", "lab", "addition", "modular", "--questions", "--count", "8", "--out", "questions.jsonl")
    assert ran.code == 0
    assert "thought" not in ran.out
    assert summary(ponder, "modular", "--questions", "--count", "3", "--out", "q.jsonl")["thought_characters"] is None
    assert all(str(row["id"]).split("-")[1] == "s0" for row in rows("questions.jsonl"))
    bench = ponder(
        "bench",
        "jsonl:questions.jsonl",
        "--methods",
        "sample",
        "--model",
        "echo",
        "--no-report",
        "--out",
        "run",
        "--json",
    )
    assert bench.code == 0, bench.err
    (row,) = cast(dict[str, list[dict[str, object]]], bench.json)["rows"]
    assert row["questions"] == 8


def test_a_family_is_a_benchmark(ponder: Command) -> None:
    ran = ponder(
        "bench", "lab:modular:links=1-2", "--methods", "sample", "--model", "echo", "--limit", "5", "--no-report",
        "--out", "run", "--json",
    )  # fmt: skip
    assert ran.code == 0, ran.err
    (row,) = cast(dict[str, list[dict[str, object]]], ran.json)["rows"]
    assert (row["task"], row["questions"]) == ("lab:modular:links=1-2", 5)


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_bar_shows_on_a_terminal_and_never_among_the_results(tmp_path: Path) -> None:
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "ponder", "data", "lab", "modular", "--count", "9", "--out", "x.jsonl", "--json"]
    environment = {**os.environ, "NO_COLOR": "1", "TERM": "xterm"}
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=theirs, cwd=tmp_path, env=environment, check=True)
    os.close(theirs)
    seen = os.read(ours, 100_000).decode()
    os.close(ours)
    assert json.loads(done.stdout)["rows"] == 9
    assert "rows" in seen
    assert "100%" in seen
    assert "\x1b[3" not in seen


# What is refused


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (("modula",), "there is no family 'modula'; did you mean 'modular'?"),
        (("modular:modulus=2",), "modulus = 2 is out of range"),
        (("modular", "--seed", "0"), "modular: seed 0 makes the questions that tests ask; train on another seed"),
        (("modular", "--questions", "--seed", "4"), "modular: seed 4 makes questions to train on"),
        (("addition", "algebra", "--questions"), "are judged by different verifiers"),
        (("modular", "--questions", "--minimal"), "--questions have no thoughts"),
        (("modular", "--questions", "--passes", "1"), "--questions have no thoughts"),
        (("modular", "--minimal", "--slips", "0"), "--minimal thoughts have neither --passes nor --slips"),
        (("modular", "modular:links=1-6"), "a family is named twice; name each once"),
        (("modular", "--passes", "21"), "21"),
        (("modular", "--slips", "nan"), "nan"),
        (("directional:actions=1",), "directional:actions=1 has no new question after 11; ask for fewer"),
        ((), "FAMILY"),
    ],
)
def test_what_cannot_be_made_is_said_and_leaves_nothing(ponder: Command, args: tuple[str, ...], message: str) -> None:
    ran = ponder("data", "lab", *args, "--count", "30", "--out", "x.jsonl")
    assert ran.code != 0
    assert message in ran.err
    assert list(Path().iterdir()) == []


def test_a_failure_keeps_the_file_that_was_there(ponder: Command) -> None:
    Path("x.jsonl").write_text("old\n", "utf-8")
    assert ponder("data", "lab", "directional:actions=1", "--count", "12", "--out", "x.jsonl").code == 1
    assert Path("x.jsonl").read_text("utf-8") == "old\n"
    assert ponder("data", "lab", "directional:actions=1", "--count", "11", "--out", "x.jsonl").code == 0
    assert len(rows("x.jsonl")) == 11
    assert [path.name for path in Path().iterdir()] == ["x.jsonl"]


def test_a_place_that_cannot_be_written_is_one_sentence(ponder: Command) -> None:
    Path("file").write_text("", "utf-8")
    ran = ponder("data", "lab", "modular", "--count", "3", "--out", "file/x.jsonl")
    assert ran.code == 1
    assert "x.jsonl could not be written" in ran.err
    assert ran.err.count("\n") == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_one_sentence(ponder: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    from ponder.weights import staged

    monkeypatch.setattr(staged.os, "getpid", lambda: 1)
    Path(".x.jsonl.1.partial").symlink_to("/dev/full")
    ran = ponder("data", "lab", "modular", "--count", "3000", "--out", "x.jsonl")
    assert ran.code == 1
    assert "x.jsonl could not be written (No space left on device)" in ran.err
    assert not Path("x.jsonl").exists()


def test_the_help_names_every_family(ponder: Command) -> None:
    ran = ponder("data", "lab", "--help")
    assert ran.code == 0
    assert "\\b" not in ran.out
    for name in FAMILIES:
        assert re.search(rf"^ +{name}:\S+  +\w.*$", ran.out, re.MULTILINE), "each on a line of its own"
    assert "lab" in ponder("data", "--help").out


def test_the_page_of_json_lists_every_field() -> None:
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8").partition("\n## `data lab`\n")[2]
    listed = re.findall(r"^\| `(\w+)` \|", page.partition("\n## ")[0], re.MULTILINE)
    assert listed == ["schema", *(field.name for field in fields(Summary))]
