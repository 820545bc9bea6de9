from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, cast

import pytest
from support.command import Command

from ponder.bench.store import Store

ECHO = ("--model", "echo", "--no-report")
ROW = {
    "method", "options", "model", "task", "seed", "questions", "accuracy", "accuracy_interval", "tokens",
    "tokens_interval", "tokens_by_role", "prompt_tokens", "cost", "latency", "truncated", "unverifiable", "baseline",
    "saving", "saving_interval", "accuracy_change", "accuracy_change_interval", "pass_at",
}  # fmt: skip


def bench(ponder: Command, *args: str) -> dict[str, Any]:
    ran = ponder("bench", *args, *ECHO, "--json")
    assert ran.code == 0, ran.err
    return cast(dict[str, Any], ran.json)


def test_the_json_has_the_documented_shape(ponder: Command) -> None:
    found = bench(ponder, "arithmetic", "--methods", "sample,no_thinking", "--limit", "20", "--out", "run")
    assert found["run"]["schema"] == 1
    assert [row["method"] for row in found["rows"]] == ["sample", "no_thinking"]
    for row in found["rows"]:
        assert set(row) >= ROW
        assert set(row["latency"]) == {"first_token", "p50", "p95"}
        assert row["questions"] == 20
        assert row["model"] == "echo"
        assert sum(row["tokens_by_role"].values()) == pytest.approx(row["tokens"])
        assert row["pass_at"]["1"] == row["accuracy"]
    base, short = found["rows"]
    assert short["saving"] == pytest.approx(1 - short["tokens"] / base["tokens"])
    assert short["compression_ratio"] == pytest.approx(1 - short["saving"])
    assert 0 <= base["outcome_efficiency"] <= 1
    low, high = short["saving_interval"]
    assert low <= short["saving"] <= high


def test_the_table_names_saving_interval_and_report(ponder: Command) -> None:
    ran = ponder("bench", "arithmetic", "--methods", "sample,no_thinking", "--limit", "9", "--model", "echo")
    assert ran.code == 0, ran.err
    assert "baseline" in ran.out
    assert "arithmetic: no_thinking saves" in ran.out
    page = next(line for line in ran.out.splitlines() if line.startswith("Report: ")).removeprefix("Report: ")
    assert Path(page).read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert "18 attempts to make, at most" in ran.err


def test_several_tasks_are_told_apart(ponder: Command) -> None:
    found = bench(ponder, "gsm8k,arithmetic:level=2", "--methods", "sample", "--limit", "5")
    assert [(row["task"], row["questions"]) for row in found["rows"]] == [("gsm8k", 5), ("arithmetic:level=2", 5)]


def test_the_same_command_goes_on_and_may_ask_for_more(ponder: Command) -> None:
    first = bench(ponder, "arithmetic", "--methods", "sample", "--limit", "5", "--out", "run")
    again = bench(ponder, "arithmetic", "--methods", "sample,concise_cot", "--limit", "8", "--out", "run")
    assert (first["run"]["done"], first["run"]["kept"]) == (5, 0)
    assert (again["run"]["done"], again["run"]["kept"]) == (11, 5)


def test_seeds_give_pass_at_k(ponder: Command) -> None:
    (row,) = bench(ponder, "arithmetic", "--methods", "sample", "--limit", "10", "--seeds", "4")["rows"]
    assert set(row["pass_at"]) == {"1", "2", "4"}
    assert row["pass_at"]["1"] <= row["pass_at"]["2"] <= row["pass_at"]["4"]


def test_a_price_gives_a_cost(ponder: Command) -> None:
    price = ("--price", "in=1,out=10")
    (row,) = bench(ponder, "arithmetic", "--methods", "sample", "--limit", "5", *price)["rows"]
    assert row["cost"] == pytest.approx((row["prompt_tokens"] + 10 * row["tokens"]) / 1e6)


def test_the_export_has_a_line_for_each_attempt(ponder: Command) -> None:
    bench(ponder, "arithmetic", "--methods", "sample,concise_cot", "--limit", "4", "--out", "run")
    lines = [json.loads(line) for line in Path("run/attempts.jsonl").read_text(encoding="utf-8").splitlines()]
    assert len(lines) == 8
    assert all(line["calls"] and line["tokens"] == sum(line["tokens_by_role"].values()) for line in lines)


def test_another_setting_does_not_mix_into_a_run(ponder: Command) -> None:
    bench(ponder, "arithmetic", "--methods", "sample", "--limit", "3", "--out", "run")
    ran = ponder("bench", "arithmetic", "--limit", "3", "--max-tokens", "99", "--out", "run", *ECHO)
    assert ran.code == 1
    assert "holds a run with sampling" in ran.err
    assert "--out" in ran.err


def test_a_second_forecast_knows_the_first_run(ponder: Command) -> None:
    run = ("bench", "arithmetic", "--methods", "sample", *ECHO)
    assert "no earlier run to learn from" in ponder(*run, "--limit", "20", "--out", "a").err
    err = ponder(*run, "--limit", "40", "--out", "b", "--price", "in=1,out=2").err
    assert "40 attempts to make: about" in err
    assert "USD (from earlier runs)" in err


def test_a_token_limit_stops_with_a_code_and_keeps_the_rest(ponder: Command) -> None:
    run = ("bench", "arithmetic", "--methods", "sample", "--limit", "50", "--out", "run", *ECHO)
    ran = ponder(*run, "--max-tokens-total", "200")
    assert ran.code == 1
    assert "the limit of 200 generated tokens is reached" in ran.out
    kept = len(Path("run/attempts.jsonl").read_text(encoding="utf-8").splitlines())
    assert 0 < kept < 50
    assert bench(ponder, *run[1:4], "--limit", "50", "--out", "run")["run"]["kept"] == kept


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("gsm9k",), "gsm8k"),
        (("gsm8k", "--methods", "sampel"), "did you mean 'sample'?"),
        (("gsm8k", "--methods", "chain_of_draft:wrds=3"), "did you mean 'words'?"),
        (("gsm8k", "--methods", "chain_of_draft:words=0"), "out of range"),
        (("gsm8k", "--methods", "style:template=word_limit"), "template = 'word_limit' lacks its number; add limit"),
        (("gsm8k", "--methods", "token_budget:fallback=0"), "fallback = 0 is out of range"),
        (
            ("gsm8k", "--methods", "think_for:tokens=600"),
            "think_for(tokens=600): tokens = 600 is more than a reply may have; lower it, or raise --max-tokens 512",
        ),
        (("gsm8k", "-o", "nn=3"), "none of the methods has an option 'nn'"),
        (("gsm8k", "--baseline", "sampl", "--limit", "2"), "did you mean 'sample'?"),
        (("gsm8k", "--max-cost", "3"), "--price"),
        (("gsm8k", "--price", "dear"), "dear"),
        (("jsonl:missing.jsonl",), "missing.jsonl"),
        (("gsm8k", "--plugin", "missing.py"), "there is no plugin file missing.py"),
        (("gsm8k", "--limit", "0"), "--limit"),
    ],
)
def test_bad_input_is_one_sentence_and_a_code(ponder: Command, args: tuple[str, ...], said: str) -> None:
    ran = ponder("bench", *args, *ECHO)
    assert ran.code in (1, 2)
    assert said in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("no-such-model", "no-such-model"),
        ("missing.gguf", "missing.gguf"),
        ("http://127.0.0.1:9/v1#m", "127.0.0.1:9"),
    ],
)
def test_a_model_that_is_not_there_is_named(ponder: Command, model: str, said: str) -> None:
    ran = ponder("bench", "gsm8k", "--limit", "2", "--no-report", "--model", model)
    assert ran.code == 1
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_broken_line_is_named_before_the_first_token(ponder: Command) -> None:
    good = [json.dumps({"id": f"q{i}", "question": f"{i}+1?", "answer": str(i + 1)}) for i in range(6)]
    Path("mine.jsonl").write_text("\n".join([*good, "{broken"]), encoding="utf-8")
    ran = ponder("bench", "jsonl:mine.jsonl", "--methods", "sample", "--out", "run", *ECHO)
    assert ran.code == 1
    assert "line 7" in ran.err
    with Store(Path("run/run.sqlite"), write=False) as store:
        assert store.spent() == 0


def test_a_users_own_questions_run(ponder: Command) -> None:
    rows = [{"id": "a", "question": "What is 7?", "answer": "7"}, {"id": "b", "question": "And 9?", "answer": None}]
    Path("mine.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (row,) = bench(ponder, "jsonl:mine.jsonl", "--methods", "sample")["rows"]
    assert (row["questions"], row["unverifiable"]) == (2, 1)


def test_a_plugin_file_brings_a_method(ponder: Command) -> None:
    Path("mine.py").write_text(
        "from ponder.methods.vote.sample import Sample\nclass Mine(Sample): pass\nMETHODS = {'mine': Mine}\n",
        encoding="utf-8",
    )
    (row,) = bench(ponder, "arithmetic", "--methods", "mine", "--limit", "3", "--plugin", "mine.py")["rows"]
    assert row["method"] == "mine"


def start(tmp_path: Path, *args: str) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        "-m",
        "ponder",
        "bench",
        "arithmetic",
        "--methods",
        "sample",
        *ECHO,
        "--out",
        "run",
        *args,
    ]
    env = {**os.environ, "PONDER_CACHE": str(tmp_path / "cache")}
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        env=env,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finished(tmp_path: Path) -> int:
    file = tmp_path / "run" / "run.sqlite"
    if not file.exists():
        return 0
    try:
        with Store(file, write=False) as store:
            return len(list(store.records()))
    except Exception:  # the file is only just being made
        return 0


def wait_for(tmp_path: Path, count: int) -> None:
    patience = time.monotonic() + 60
    while finished(tmp_path) < count and time.monotonic() < patience:
        time.sleep(0.02)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_in_any_way_goes_on_where_it_was(tmp_path: Path, how: signal.Signals) -> None:
    running = start(tmp_path, "--limit", "100000")
    wait_for(tmp_path, 200)
    running.send_signal(how)
    _, err = running.communicate(timeout=60)
    kept = finished(tmp_path)
    assert kept >= 200
    assert running.returncode != 0
    assert "Traceback" not in err
    again = start(tmp_path, "--limit", str(kept + 100), "--json")
    out, err = again.communicate(timeout=60)
    assert again.returncode == 0, err
    run = json.loads(out)["run"]
    assert (run["kept"], run["done"]) == (kept, 100)


def test_two_runs_into_one_folder_are_refused(tmp_path: Path, ponder: Command) -> None:
    running = start(tmp_path, "--limit", "100000")
    wait_for(tmp_path, 10)
    ran = ponder("bench", "arithmetic", "--limit", "5", "--out", str(tmp_path / "run"), *ECHO)
    running.kill()
    running.communicate(timeout=60)
    assert ran.code == 1
    assert "another run is writing" in ran.err


def test_methods_that_could_do_nothing_are_named_with_the_remedy(ponder: Command) -> None:
    args = ("bench", "arithmetic", "--methods", "sample,dynasor,dynasor:every=8", "--limit", "3", "--model", "echo")
    blind = (*args, "--think-close", "", "--out", "blind")
    ran = ponder(*blind)
    for label in ("dynasor", "dynasor(every=8)"):
        assert f"{label} could not do its work in 3 attempts: echo tells no think marks" in ran.out
    assert "--think-open MARK --think-close MARK" in ran.out
    assert "sample could not" not in ran.out
    again = ponder(*blind, "--json", "--no-report")
    assert [said.partition(" could")[0] for said in again.json["run"]["warnings"]] == ["dynasor", "dynasor(every=8)"]
    assert "could not do its work" in again.err
    assert "could not do its work" in Path("blind/report.html").read_text(encoding="utf-8")
    assert ponder(*args, "--out", "seeing", "--json", "--no-report").json["run"]["warnings"] == []
