import json
from pathlib import Path

import pytest
from support.command import Command

from ponder.bench.recorded import read_traces
from ponder.cli.record import oracle_of
from ponder.tasks import load_task
from ponder.train.lab.rows import fresh
from ponder.train.lab.table import load_family

ECHO = ("--model", "echo", "--limit", "3", "--every", "4", "--out", "t.jsonl")


def test_json_is_one_object_with_the_bill(ponder: Command, tmp_path: Path) -> None:
    ran = ponder("record", "arithmetic", *ECHO, "--samples", "2", "--json")
    shown = json.loads(ran.out)
    assert ran.code == 0
    assert (shown["schema"], shown["questions"], shown["done"], shown["samples"]) == (1, 3, 3, 6)
    assert shown["tokens"] == sum(shown["tokens_by_role"].values()) == shown["spent"]
    assert set(shown["tokens_by_role"]) == {"think", "answer", "probe"}
    assert len(list(read_traces(tmp_path / "t.jsonl"))) == 3


def test_the_summary_for_people_and_the_same_command_again(ponder: Command) -> None:
    said = ponder("record", "arithmetic", *ECHO).out
    assert "t.jsonl: 3 of 3 questions, 3 replies," in said
    assert "tokens: think" in said
    again = ponder("record", "arithmetic", *ECHO)
    assert again.code == 0
    assert again.out == said


def test_a_limit_stops_it_with_what_to_do(ponder: Command) -> None:
    ran = ponder("record", "arithmetic", *ECHO, "--concurrency", "1", "--max-tokens-total", "60")
    assert ran.code == 1
    said = ran.out.replace("\n", " ")
    assert "Stopped: the limit of 60 generated tokens is reached. What is recorded is kept" in said
    assert ponder("record", "arithmetic", *ECHO).code == 0


def test_probes_of_ones_own_and_words(ponder: Command, tmp_path: Path) -> None:
    ran = ponder("record", "arithmetic", *ECHO, "--probe", "mine=So it is ", "--probe", "close", "--at-words", "wait")
    assert ran.code == 0
    header = json.loads((tmp_path / "t.jsonl").read_text().splitlines()[0])
    assert header["recording"]["probes"] == {"mine": "So it is ", "close": "\n</think>\n\n\\boxed{"}
    assert header["recording"]["words"] == ["wait"]
    texts = [sample.text for problem in read_traces(tmp_path / "t.jsonl") for sample in problem.samples]
    assert any("wait" in text for text in texts)


def test_the_lab_knows_the_exit(ponder: Command, tmp_path: Path) -> None:
    assert ponder("record", "lab:addition", *ECHO).code == 0
    problems = list(read_traces(tmp_path / "t.jsonl"))
    assert all("exit" in sample.fields for problem in problems for sample in problem.samples)


def test_mistakes_are_named(ponder: Command) -> None:
    for args, said in (
        (("arithmetic", *ECHO, "--probe", "clos"), "there is no probe 'clos'; did you mean 'close'?"),
        (("arithmetik", *ECHO), "there is no task 'arithmetik'; did you mean 'arithmetic'?"),
        (("arithmetic", "--model", "echo"), "Missing option '--out'"),
    ):
        ran = ponder("record", *args)
        assert ran.code != 0
        assert said in ran.err.replace("\n", " ")
    ponder("record", "arithmetic", *ECHO)
    ran = ponder("record", "arithmetic", *ECHO, "--every", "8")
    assert "t.jsonl was recorded with every = 4, not 8" in ran.err


@pytest.mark.parametrize("name", ["arithmetic:level=3,language=mix", "lab:addition"])
def test_an_oracle_knows_the_line_that_derives_the_answer(name: str) -> None:
    task = load_task(name)
    oracle = oracle_of(task, 4)
    assert oracle is not None
    family = load_family(name.removeprefix("lab:"))
    for item, puzzle in zip(task.items(4), fresh(family) if "lab" in name else family.puzzles(4), strict=False):
        lines = [step.text for step in puzzle.steps]
        thought = "\n".join([*lines, "Wait, let me check.", *lines])
        assert oracle(item, thought) == len("\n".join(lines))
        assert oracle(item, "\n".join(lines[:-1])) is None
    assert oracle_of(load_task("svamp"), 4) is None
