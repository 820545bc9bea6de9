"""`ponder data fast_mcts`: files, summary, resumption and mistakes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest
from support.command import Command

from ponder.cli.data_fast_mcts import summary
from ponder.tasks import load_task
from ponder.train.data.grow import Grown

ECHO = ("data", "fast_mcts", "jsonl:asked.jsonl", "--model", "echo", "--limit", "12", "--delimiter", "wait ",
        "--rollouts", "6", "--temperature", "1")  # fmt: skip


@pytest.fixture(autouse=True)
def asked(ponder: Command) -> None:
    """Write questions that the scripted model answers with their last number, seven times of ten."""
    lines = [json.dumps({"question": f"Which comes after 3? {n}", "answer": str(n)}) for n in range(17300, 17312)]
    Path("asked.jsonl").write_text("\n".join(lines))


def rows(file: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]


def test_files_and_json_agree(ponder: Command) -> None:
    ran = ponder(*ECHO, "--out", "a/right.jsonl", "--pairs", "a/pairs.jsonl", "--json")
    found = cast(dict[str, object], ran.json)
    assert ran.code == 0
    trees = rows("a/right.jsonl.questions.jsonl")[1:]
    assert found["questions"] == found["done"] == len(trees) == 12 - int(str(found["left_out"]))
    assert found["right"] == len(rows("a/right.jsonl")) > 0
    assert found["pairs"] == len(rows("a/pairs.jsonl")) > 0
    assert found["tokens"] == found["spent"] == sum(int(str(tree["tokens"])) for tree in trees)
    assert (found["file"], found["pairs_file"], found["stopped"]) == ("a/right.jsonl", "a/pairs.jsonl", None)


def test_the_summary_for_people_and_the_same_command_again(ponder: Command) -> None:
    said = ponder(*ECHO, "--out", "right.jsonl")
    assert "right.jsonl: " in said.out
    assert "rollouts, " in said.out
    assert "right replies per 1,000" in said.out
    before = Path("right.jsonl").read_bytes()
    again = ponder(*ECHO, "--out", "right.jsonl")
    assert (again.code, again.out) == (0, said.out)
    assert Path("right.jsonl").read_bytes() == before
    Path("right.jsonl").unlink()
    ponder(*ECHO, "--out", "right.jsonl")
    assert Path("right.jsonl").read_bytes() == before, "the journal holds it all"


def test_a_limit_stops_it_with_what_to_do_and_writes_what_there_is(ponder: Command) -> None:
    ran = ponder(*ECHO, "--out", "right.jsonl", "--max-tokens-total", "400")
    assert ran.code == 1
    assert "Stopped: the limit of 400 generated tokens is reached. What is done is kept" in ran.out
    some = len(rows("right.jsonl.questions.jsonl"))
    assert Path("right.jsonl").exists()
    assert ponder(*ECHO, "--out", "right.jsonl").code == 0
    assert len(rows("right.jsonl.questions.jsonl")) > some
    nothing = ponder(*ECHO, "--out", "other.jsonl", "--max-tokens-total", "1")
    assert nothing.code == 1
    assert "nothing could be made: the limit of 1 generated tokens is reached" in nothing.err


def test_a_file_of_ones_own_without_what_tests_ask(ponder: Command) -> None:
    asked = next(load_task("gsm8k").items(1)).meta["question"]
    mine = [{"question": text, "answer": "18"} for text in ("What is 17.25 + 0.75?", asked)]
    Path("mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in mine))
    ran = ponder("data", "fast_mcts", "jsonl:mine.jsonl", "--model", "echo", "--rollouts", "2", "--out", "o.jsonl")
    assert ran.code == 0
    assert "1 questions were left out: tests ask them" in ran.out


def test_examples_to_show_come_from_a_file(ponder: Command) -> None:
    shown = {"messages": [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}]}
    Path("shown.jsonl").write_text(json.dumps(shown) + "\n")
    ran = ponder(*ECHO, "--out", "o.jsonl", "--shots", "1", "--shots-from", "shown.jsonl", "--record", "tape")
    assert ran.code == 0
    assert b"Two." in b"".join(path.read_bytes() for path in Path().glob("tape*"))
    assert "Two." not in Path("o.jsonl").read_text()
    too_many = ponder(*ECHO, "--out", "p.jsonl", "--shots", "2", "--shots-from", "shown.jsonl")
    assert too_many.code == 1
    assert "FastMcts: shots = 2 is out of range" in too_many.err


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("gsm8k",), "gsm8k is the test set of a benchmark"),
        (("lab:addition", "--task-seed", "0"), "seed 0 makes the questions that tests ask"),
        (("datasets:x/y,split=test",), "is what models are tested with; take split=train"),
        (("arithmetic", "--pairs", "o.jsonl"), "--pairs o.jsonl is where other rows go; name another file"),
        (("arithmetic", "--shots", "1"), "--shots N and --shots-from FILE need each other"),
        (("arithmetic", "--low", "0.8"), "FastMcts: high = 0.75 is out of range; it must be above low"),
        (("arithmetic", "--delimiter", ""), "FastMcts: delimiter = '' is out of range"),
        (("arithmetic", "--rollouts", "0"), "Invalid value for '--rollouts'"),
        (("nothing",), "there is no task 'nothing'"),
    ],
)
def test_mistakes_are_named_before_a_token(ponder: Command, args: tuple[str, ...], said: str) -> None:
    ran = ponder("data", "fast_mcts", *args, "--model", "echo", "--limit", "3", "--out", "o.jsonl")
    assert ran.code != 0
    assert said in ran.err.replace("\n", " ")
    assert not Path("o.jsonl").exists()


def test_a_file_of_ones_own_is_not_written_over(ponder: Command) -> None:
    for own in ("o.jsonl", "p.jsonl"):
        Path(own).write_text("mine\n")
        ran = ponder(*ECHO, "--out", "o.jsonl", "--pairs", "p.jsonl")
        assert ran.code == 1
        assert f"{own} exists, and o.jsonl.questions.jsonl, which it would be made of, does not" in ran.err
        assert Path(own).read_text() == "mine\n"
        Path(own).unlink()


def test_a_place_that_cannot_be_written_is_told_before_a_token(ponder: Command) -> None:
    ran = ponder(*ECHO, "--out", "o.jsonl", "--pairs", "asked.jsonl/p.jsonl")
    assert (ran.code, Path("o.jsonl.questions.jsonl").exists()) == (1, False)
    assert "asked.jsonl/p.jsonl could not be written" in ran.err


def test_other_settings_need_another_file(ponder: Command) -> None:
    assert ponder(*ECHO, "--out", "o.jsonl").code == 0
    ran = ponder(*ECHO, "--out", "o.jsonl", "--plain")
    assert ran.code == 1
    assert "was made with plain = False, not True; give the same settings to go on with it" in ran.err


def test_the_summary_has_the_fields_that_the_documentation_lists() -> None:
    shown = summary(Grown(seconds=1.23456), Path("o"), None, 2)
    assert shown["seconds"] == 1.235
    page = Path(__file__).parents[2].joinpath("docs/json.md").read_text("utf-8")
    section = page.partition("\n## `data fast_mcts`\n")[2].partition("\n## ")[0]
    assert section
    assert [name for name in shown if f"| `{name}` |" not in section] == []
