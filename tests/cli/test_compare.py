from __future__ import annotations

from typing import Any, cast

import pytest
from support.command import Command


@pytest.fixture
def runs(ponder: Command) -> Command:
    for name, methods, limit in (("a", "sample,no_thinking", "30"), ("b", "concise_cot", "20")):
        args = ("--methods", methods, "--limit", limit, "--out", name, "--model", "echo", "--no-report")
        assert ponder("bench", "arithmetic", *args).code == 0
    return ponder


def test_every_arm_is_paired_with_the_first_runs_baseline(runs: Command) -> None:
    found = cast(dict[str, Any], runs("compare", "a", "b", "--json").json)
    rows = {row["method"]: row for row in found["rows"]}
    assert set(rows) == {"sample", "no_thinking", "concise_cot"}
    assert all(row["baseline"] == "sample" for row in rows.values())
    assert (rows["concise_cot"]["questions"], rows["concise_cot"]["paired"]) == (20, 20)
    assert rows["no_thinking"]["paired"] == 30
    assert rows["concise_cot"]["saving_interval"] is not None


def test_a_run_against_itself_shows_no_difference(runs: Command) -> None:
    rows = cast(dict[str, Any], runs("compare", "a", "a", "--json").json)["rows"]
    (twin,) = [row for row in rows if row["label"] == "sample #2"]
    assert twin["saving"] == 0
    assert twin["saving_interval"] == [0, 0]
    assert twin["accuracy_change_interval"] == [0, 0]


def test_the_baselines_method_in_another_run_has_its_saving_in_the_table(runs: Command) -> None:
    lines = runs("compare", "a", "a").out.splitlines()
    assert [line.split()[:2] for line in lines if "baseline" in line] == [["sample", "30"]]
    (twin,) = [line for line in lines if line.startswith("sample #2")]
    assert "0.0 %" in twin.partition("]")[2]


def test_the_table_is_printed(runs: Command) -> None:
    ran = runs("compare", "a", "b", "--baseline", "no_thinking")
    assert ran.code == 0
    assert "compared with no_thinking" in ran.out


def test_a_missing_run_and_a_wrong_baseline_are_named(runs: Command) -> None:
    ran = runs("compare", "a", "nowhere")
    assert (ran.code, "nowhere" in ran.err) == (1, True)
    ran = runs("compare", "a", "b", "--baseline", "smple")
    assert (ran.code, "did you mean 'sample'?" in ran.err) == (1, True)


def test_runs_of_different_tasks_are_not_compared(runs: Command) -> None:
    args = ("--methods", "sample", "--limit", "3", "--out", "c", "--model", "echo", "--no-report")
    assert runs("bench", "svamp", *args).code == 0
    for first, second in (("c", "a"), ("a", "c")):
        ran = runs("compare", first, second)
        assert ran.code == 1
        assert f"{second} shares no task with {first}" in ran.err
