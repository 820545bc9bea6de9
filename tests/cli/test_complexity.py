from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest
from support.command import Command
from support.complexities import arms, worked_out

from ponder.bench.complexity import token_complexity
from ponder.cli.complexity import sentence

KIND = ("--report", "token-complexity")
RUN = ("bench", "arithmetic", "--methods", "sample,no_thinking", "--limit", "12", "--out", "run", "-m", "echo")


@pytest.fixture
def run(ponder: Command) -> Command:
    assert ponder(*RUN, "--no-report").code == 0
    return ponder


def test_bench_prints_each_method_beside_the_bound_and_draws_it(ponder: Command) -> None:
    ran = ponder(*RUN, *KIND)
    assert ran.code == 0, ran.err
    assert "arithmetic · token complexity of 12 questions" in ran.out
    assert "arithmetic: some length solves" in ran.out
    assert Path("run/plots/arithmetic-token-complexity.svg").is_file()
    page = Path("run/report.html").read_text(encoding="utf-8")
    assert page.count("<h3>Token complexity</h3>") == 1
    assert "Accuracy beside the bound of token complexity" in page


def test_where_no_length_solves_anything_no_fewest_tokens_are_told() -> None:
    wrong = token_complexity(arms(short={"a": [(9, False)]}, long={"a": [(90, False)]}))
    assert sentence(wrong).endswith("no length of these replies solves any of 1 questions: no bound.")
    assert "are 34.8 a question (46.3 over those alone)" in sentence(token_complexity(worked_out()))


def test_without_being_asked_nothing_is_said_about_it(run: Command) -> None:
    assert "token complexity of" not in run("compare", "run").out
    assert set(cast(dict[str, Any], run("report", "run", "--json").json)) == {"run", "rows"}
    assert "<h3>Token complexity</h3>" not in Path("run/report.html").read_text(encoding="utf-8")


def test_report_and_compare_say_the_same_as_bench(run: Command) -> None:
    told = cast(dict[str, Any], run(*RUN, *KIND, "--no-report", "--json").json)["token_complexity"]
    for command in ("report", "compare"):
        found = cast(dict[str, Any], run(command, "run", *KIND, "--json").json)
        assert found["token_complexity"] == told
    assert "token complexity of 12 questions" in run("compare", "run", *KIND).out
    assert [one["task"] for one in told] == ["arithmetic"]


def test_the_json_is_what_the_page_says(run: Command) -> None:
    text = (Path(__file__).parents[2] / "docs" / "json.md").read_text(encoding="utf-8")
    section = text.partition("\n## `--report token-complexity`\n")[2].partition("\n## ")[0]
    whole, _, row = section.partition("### A method beside the bound")
    (first,) = cast(dict[str, Any], run("compare", "run", *KIND, "--json").json)["token_complexity"]
    assert all(f"\n| `{name}` |" in whole for name in first)
    assert all(f"\n| `{name}` |" in row for name in first["rows"][0])
    assert (whole.count("\n| `"), row.count("\n| `")) == (len(first), len(first["rows"][0]))


def test_runs_beside_each_other_are_compared_on_the_questions_that_they_share_task_by_task(run: Command) -> None:
    other = ("--methods", "concise_cot", "--limit", "7", "--out", "other", "-m", "echo", "--no-report")
    assert run("bench", "arithmetic", *other).code == 0
    assert run("bench", "svamp", *RUN[2:], "--no-report").code == 0
    found = cast(dict[str, Any], run("compare", "run", "other", *KIND, "--json").json)["token_complexity"]
    assert [(one["task"], len(one["questions"])) for one in found] == [("arithmetic", 7), ("svamp", 12)]
    assert [row["label"] for row in found[0]["rows"]] == ["sample", "no_thinking", "concise_cot"]


def test_one_method_alone_is_refused_before_the_run(ponder: Command) -> None:
    ran = ponder("bench", "arithmetic", "--methods", "sample", "--out", "run", "-m", "echo", *KIND)
    assert (ran.code, Path("run").exists()) == (1, False)
    assert (
        "--report token-complexity compares the replies of several methods; name two or more with --methods" in ran.err
    )


def test_questions_that_nobody_can_judge_are_named(ponder: Command) -> None:
    rows = [{"id": "a", "question": "What is 7?", "answer": None}]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    ran = ponder("bench", "jsonl:mine.jsonl", "--methods", "sample,no_thinking", "--out", "run", "-m", "echo", *KIND)
    assert ran.code == 1
    assert "no question was answered by every method and can be judged" in ran.err
    assert ponder("compare", "run").code == 0, "what was computed is kept"


def test_a_kind_of_report_that_does_not_exist_is_named(ponder: Command) -> None:
    ran = ponder(*RUN, "--report", "token-complexty")
    assert ran.code == 2
    assert "token-complexity" in ran.err
