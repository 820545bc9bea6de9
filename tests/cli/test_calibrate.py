"""`ponder calibrate`: from a run to a threshold, and what cannot be calibrated."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Any, cast

import pytest
from support.command import Command
from support.records import record

from ponder.bench.session import FILE
from ponder.bench.store import Key, Store
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods import catalogue
from ponder.steer.calibration import load

WEAK, STRONG = "confident_or_seek_stronger(threshold=-inf)", "confident_or_seek_stronger(threshold=inf)"
Evidence = dict[str, object]


def attempt(store: Store, task: str, question: int, method: str, right: bool | None, evidence: Evidence) -> None:
    trace = json.dumps({"question": "q", "solution": {"evidence": evidence}, "calls": []})
    store.add(replace(record(str(question)), key=Key(task, method, 0, str(question)), correct=right, trace=trace))


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two tasks, forty questions: score i / 20 in each, the weak way right from the middle on."""
    with Store(tmp_path / "run" / FILE) as store:
        store.set_meta("spec", {"model": "small", "sampling": {}})
        store.set_meta("methods", {label: {"method": "confident_or_seek_stronger"} for label in (WEAK, STRONG)})
        for task in ("here", "there"):
            for i in range(20):
                said: Evidence = {"route": "rung 1"} if i == 0 else {"route": "rung 1 on main", "score": i / 20}
                attempt(store, task, i, WEAK, i >= 10, said)
                attempt(store, task, i, STRONG, i != 3, {"route": "rung 2 on strong"})
    return tmp_path / "run"


def test_what_a_calibration_says(ponder: Command, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "c.toml"
    ran = ponder("calibrate", str(run), "--weak", WEAK, "--strong", STRONG, "--share", "0.3", "--out", str(out))
    assert ran.code == 0, ran.err
    text = " ".join(ran.out.split())
    assert "40 questions of here, there" in text
    # 12 of 40 are sent on: 0 to 5 of each task, of which the strong way gets all but one right.
    assert "threshold 0.2750 sends 30.0 % on, and foretells 75.0 % right" in text
    assert "AUC 1.000" in text
    assert re.search(r"here 20 30\.0 % 75\.0 % 75\.0 % 1\.000 there 20 30\.0 %", text)
    found = load(out)
    assert (len(found.scores), min(found.scores), sum(found.weak), sum(found.strong)) == (40, -inf, 20, 38)
    assert found.names == {"model": "small", "weak": WEAK, "strong": STRONG, "tasks": "here, there"}


async def test_the_file_is_one_that_the_method_takes(ponder: Command, run: Path, tmp_path: Path) -> None:
    out = tmp_path / "c.toml"
    assert ponder("calibrate", str(run), "--weak", "=-inf", "--strong", "=inf", "--out", str(out)).code == 0
    table = {"calibration": str(out), "share": 0.9, "scorer": {"scorer": "mean_probability"}}
    method = catalogue().build("confident_or_seek_stronger", cast(Any, table))
    solution = await method.solve(Problem.of("Between 12 and 99."), Run(Echo()))
    assert str(solution.evidence["route"]).startswith("rung")
    assert 0 <= float(solution.evidence["score"]) <= 1


def asked(ponder: Command, run: Path, *more: str) -> dict[str, Any]:
    ran = ponder("calibrate", str(run), "--weak", WEAK, *more, "--json")
    assert ran.code == 0, ran.err
    return cast(dict[str, Any], ran.json)


def test_a_task_may_be_kept_apart_and_the_pool_drawn_from(ponder: Command, run: Path, tmp_path: Path) -> None:
    found = asked(ponder, run, "--apart", "there", "--draw", "10", "--out", str(tmp_path / "c.toml"))
    assert (found["tasks"], found["questions"], found["foretold"]) == ("here", 10, None)
    assert [one["task"] for one in found["transfers"]] == ["here", "there"]
    assert {one["accuracy"] for one in found["transfers"]} == {None}
    assert load(tmp_path / "c.toml").strong == ()


def test_shares_that_send_everything_or_nothing_have_no_threshold(ponder: Command, run: Path, tmp_path: Path) -> None:
    for share in ("0", "1"):
        found = asked(ponder, run, "--share", share, "--out", str(tmp_path / f"{share}.toml"))
        assert (found["threshold"], found["sent"]) == (None, float(share))


def test_harm_is_certified_by_the_exact_test(ponder: Command, run: Path, tmp_path: Path) -> None:
    found = asked(ponder, run, "--strong", STRONG, "--harm", "0.1", "--out", str(tmp_path / "c.toml"))
    # 22 of 40 kept harm none beyond 10: P[Bin(40, 0.1) <= 0] = 0.9^40 = 0.0148, and two harms have 0.2228.
    assert found["certified"] == {"threshold": 0.5, "share": 0.5, "harms": 0, "p": pytest.approx(0.9**40)}
    ran = ponder("calibrate", str(run), "--weak", WEAK, "--strong", STRONG, "--harm", "0.01", "--out", "d.toml")
    assert "no threshold passes: send everything on" in ran.out


def test_the_strong_way_may_stand_in_another_run(ponder: Command, run: Path, tmp_path: Path) -> None:
    with Store(tmp_path / "large" / FILE) as store:
        store.set_meta("spec", {"model": "large", "sampling": {}})
        store.set_meta("methods", {"sample": {"method": "sample"}})
        for i in range(7):
            attempt(store, "here", i, "sample", None if i == 6 else True, {})
    found = asked(ponder, run, "--strong", f"{tmp_path / 'large'}#sample", "--out", str(tmp_path / "c.toml"))
    assert (found["questions"], found["strong"], found["strong_model"]) == (6, "sample", "large")
    assert found["transfers"] == []


def test_the_json_is_what_the_page_says(ponder: Command, run: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "json.md").read_text("utf-8").partition("\n## `calibrate`\n")[2]
    found = asked(ponder, run, "--strong", f"{run}#{STRONG}", "--harm", "0.2", "--out", str(tmp_path / "c.toml"))
    whole, _, rest = page.partition("\n## ")[0].partition("### Its `transfers`")
    transfers, _, certified = rest.partition("### Its `certified`")
    for part, fields in ((whole, found), (transfers, found["transfers"][0]), (certified, found["certified"])):
        assert re.findall(r"^\| `(\w+)` \|", part, re.MULTILINE) == list(fields)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--weak", "confident"), "has several methods with 'confident'"),
        (("--weak", "smaple"), "has no method 'smaple'"),
        (("--weak", STRONG), "sent question 0 on in .*run it with threshold=-inf"),
        (("--weak", WEAK, "--strong", "nowhere#sample"), "nowhere"),
        (("--weak", WEAK, "--apart", "hree"), "there is no task 'hree' in the run; did you mean 'here'"),
        (("--weak", WEAK, "--apart", "here", "--apart", "there"), "no scored question is left"),
        (("--weak", WEAK, "--harm", "0.1"), "name it with --strong"),
        (("--weak", WEAK, "--share", "1.2"), "--share"),
    ],
)
def test_what_cannot_be_calibrated_is_told_and_nothing_is_written(
    ponder: Command, run: Path, tmp_path: Path, more: tuple[str, ...], said: str
) -> None:
    ran = ponder("calibrate", str(run), *more, "--out", str(tmp_path / "c.toml"))
    assert ran.code != 0
    assert re.search(said, ran.err), ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "c.toml").exists()


def test_a_method_without_scores_is_told(ponder: Command, run: Path, tmp_path: Path) -> None:
    with Store(run / FILE) as store:
        store.set_meta("methods", {"sample": {"method": "sample"}, "unscored": {"method": "cascade"}})
        attempt(store, "here", 0, "sample", True, {})
        attempt(store, "here", 0, "unscored", True, {"route": "rung 1", "unscored": "the scorer failed"})
    for name in ("sample", "unscored"):
        ran = ponder("calibrate", str(run), "--weak", name, "--out", str(tmp_path / "c.toml"))
        assert ran.code == 1
        assert f"{name} gave no scores in" in ran.err


def test_a_disk_that_fills_up_leaves_no_half_of_a_file(
    ponder: Command, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(path: Path, found: object) -> None:
        path.write_text("kind = ")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ponder.steer.calibration.save", half)
    (tmp_path / "to").mkdir()
    ran = ponder("calibrate", str(run), "--weak", WEAK, "--out", str(tmp_path / "to" / "c.toml"))
    assert ran.code == 1
    assert "could not be written (No space left on device)" in ran.err
    assert list((tmp_path / "to").iterdir()) == []


def test_a_file_that_is_there_is_left_alone(ponder: Command, run: Path, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("mine")
    ran = ponder("calibrate", str(run), "--weak", WEAK, "--out", str(tmp_path / "c.toml"))
    assert ran.code == 1
    assert "exists; name another file" in ran.err
    assert (tmp_path / "c.toml").read_text() == "mine"
