from __future__ import annotations

import re
from typing import Any, cast

import pytest
from support.command import Command


@pytest.fixture
def run(ponder: Command) -> Command:
    args = (
        "--methods",
        "sample,self_consistency:n=2",
        "--limit",
        "3",
        "--out",
        "run",
        "--model",
        "echo",
        "--no-report",
    )
    assert ponder("bench", "gsm8k", *args).code == 0
    return ponder


def test_every_attempt_at_a_question_is_shown(run: Command) -> None:
    ran = run("show", "run", "gsm8k-test-0")
    assert ran.code == 0
    assert "Janet" in ran.out
    assert "reference: 18" in ran.out
    assert "sample ·" in ran.out
    assert "self_consistency(n=2) ·" in ran.out


def test_one_method_as_json(run: Command) -> None:
    (found,) = cast(list[dict[str, Any]], run("show", "run", "gsm8k-test-1", "--method", "sample", "--json").json)
    assert found["method"] == "sample"
    assert found["reference"] == "3"
    assert found["calls"][0]["role"] == "think"


def test_an_unknown_question_names_some_that_are_there(run: Command) -> None:
    ran = run("show", "run", "gsm8k-test-99")
    assert ran.code == 1
    assert "gsm8k-test-99" in ran.err
    assert "gsm8k-test-0" in ran.err


def test_a_tree_has_a_line_for_each_step(ponder: Command) -> None:
    search = "beam_search:n=4,width=2,delimiter=wait ,step=5"
    methods = f"sample,best_of_n:n=3,{search},best_of_n:n=2,scorer=verifier_prompt"
    args = ("--methods", methods, "--limit", "1", "--temperature", "1", "--out", "run", "--model", "echo")
    assert ponder("bench", "gsm8k", *args, "--no-report").code == 0
    shown = ponder("show", "run", "gsm8k-test-0", "--tree")
    assert (shown.code, "\x1b[" in shown.out) == (0, False)
    parts = dict(
        zip(*[iter(re.split(r"^(\w+)[( ].*tokens · (?:right|wrong).*$", shown.out, flags=re.M)[1:])] * 2, strict=True)
    )
    assert "no tree: the method wrote its reply in one piece" in parts["sample"]
    for mark in ("×", "●", "pruned", "chosen", "├─"):
        assert mark in parts["beam_search"]
    assert "2 more calls beside the tree" in shown.out, "those of the scorer"
    (found,) = cast(list[dict[str, Any]], ponder("show", "run", "gsm8k-test-0", "--method", "sample", "--json").json)
    assert "fate" not in found["calls"][0]
    alone = ponder("show", "run", "gsm8k-test-0", "--tree", "--method", "best_of_n(n=3)").out
    assert alone.count("◆") == 2
    assert alone.count("●") == 1
    head, *steps = alone.rstrip().splitlines()[-4:]
    assert "best_of_n(n=3)" in head
    assert all(line[0] in "├●" for line in steps), "a step takes a line"


def test_the_report_is_written_again(run: Command) -> None:
    from pathlib import Path

    ran = run("report", "run")
    assert ran.code == 0
    assert Path("run/report.html").is_file()
    assert sorted(path.suffix for path in Path("run/plots").iterdir())[:1] == [".png"]


def test_the_tasks_are_listed(ponder: Command) -> None:
    names = {row["name"] for row in cast(list[dict[str, str]], ponder("tasks", "--json").json)}
    assert names >= {
        "gsm8k",
        "math500",
        "svamp",
        "aqua",
        "strategyqa",
        "prosqa",
        "arithmetic",
        "jsonl",
        "reasoning_gym",
    }
    assert "gsm8k" in ponder("tasks").out


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_name_the_command(ponder: Command, shell: str) -> None:
    assert "_PONDER_COMPLETE" in ponder("completion", shell).out


def test_an_unknown_command_is_named_with_the_nearest(ponder: Command) -> None:
    ran = ponder("bnech")
    assert ran.code == 2
    assert "did you mean 'bench'?" in ran.err


def test_no_colour_codes_outside_a_terminal(run: Command) -> None:
    for args in (("methods",), ("tasks",), ("show", "run", "gsm8k-test-0")):
        assert "\x1b[" not in run(*args).out
