from __future__ import annotations

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
