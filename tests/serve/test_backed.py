from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
from support.command import Command
from support.gateway import echoing, running

from ponder.core.errors import DataError
from ponder.methods import catalogue
from ponder.serve.backed import key_of, read_results
from ponder.serve.settings import Model, read

ROW = {
    "method": "chain_of_draft",
    "options": {},
    "model": "m",
    "task": "gsm8k",
    "baseline": "sample",
    "paired": 500,
    "saving": 0.341,
    "saving_interval": [0.304, 0.377],
    "accuracy_change": -0.098,
    "accuracy_change_interval": [-0.14, -0.056],
}
SAVED = {
    "tokens_percent": 34.1,
    "tokens_percent_low": 30.4,
    "tokens_percent_high": 37.7,
    "accuracy_points": -9.8,
    "accuracy_points_low": -14.0,
    "accuracy_points_high": -5.6,
    "questions": 500,
    "task": "gsm8k",
    "model": "m",
}
DRAFT = key_of({"method": "chain_of_draft"})


def written(tmp_path: Path, *rows: object) -> Path:
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"rows": list(rows)}))
    return path


def test_a_row_is_read_in_per_cents_and_points(tmp_path: Path) -> None:
    assert read_results(written(tmp_path, ROW), catalogue()) == {DRAFT: SAVED}


def test_options_are_part_of_the_method(tmp_path: Path) -> None:
    rows = [{**ROW, "method": "self_consistency", "options": {"n": n}, "saving": -n / 1.0} for n in (4, 16)]
    found = read_results(written(tmp_path, *rows), catalogue())
    assert {key: saved["tokens_percent"] for key, saved in found.items()} == {
        key_of({"method": "self_consistency", "n": n}): -100.0 * n for n in (4, 16)
    }


def test_the_task_with_the_most_questions_speaks(tmp_path: Path) -> None:
    rows = [{**ROW, "task": task, "paired": paired} for task, paired in (("few", 20), ("many", 900), ("some", 90))]
    assert read_results(written(tmp_path, *rows), catalogue())[DRAFT]["task"] == "many"


@pytest.mark.parametrize(
    "change",
    [
        {"baseline": "chain_of_draft"},
        {"method": "sample"},
        {"paired": 0},
        {"method": "of_a_plugin"},
        {"options": {"n": "many"}},
        {"saving": None},
        {"accuracy_change_interval": None},
        {"accuracy_change_interval": [0.1]},
    ],
)
def test_what_compares_nothing_with_plain_reasoning_is_no_backing(tmp_path: Path, change: dict[str, object]) -> None:
    other = {**ROW, "method": "concise_cot"}
    found = read_results(written(tmp_path, {**ROW, **change}, other, "no row"), catalogue())
    assert list(found) == [key_of({"method": "concise_cot"})]
    with pytest.raises(DataError, match="compares no method with plain reasoning"):
        read_results(written(tmp_path, {**ROW, **change}), catalogue())


@pytest.mark.parametrize(
    ("text", "words"),
    [(None, "cannot be read"), ("{", "is no JSON"), ("[]", "has no rows"), ('{"rows": 3}', "has no rows")],
)
def test_a_file_that_is_none_says_what_to_give(tmp_path: Path, text: str | None, words: str) -> None:
    path = tmp_path / "results.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError, match=words) as caught:
        read_results(path, catalogue())
    assert str(path) in str(caught.value)


async def test_a_reply_says_what_its_very_method_saved_in_a_recorded_run(tmp_path: Path) -> None:
    path = written(tmp_path, ROW)
    settings = echoing(echo=Model("echo", method={"method": "chain_of_draft"}, results=str(path)))
    async with running(settings) as gateway:
        asked = (await gateway.ask()).json["ponder"]
        streamed = (await gateway.ask(stream=True)).events
        other = (await gateway.ask(model="echo:concise_cot")).json["ponder"]
        bound = (await gateway.ask(reasoning_effort="low")).json["ponder"]
    assert asked["saved"] == SAVED
    assert [event["ponder"]["saved"] for event in streamed if "ponder" in event] == [SAVED]
    # Not measured, and not what was measured.
    assert other["saved"] is None
    assert bound["saved"] is None


def test_what_a_bench_run_prints_is_what_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["bench", "arithmetic:level=1", "--model", "echo", "--methods", "sample,self_consistency:n=2", "-q"]
    command += ["--limit", "4", "--no-report", "--json", "--out", str(tmp_path / "run")]
    printed = Command(monkeypatch, capsys)(*command)
    assert printed.code == 0, printed.err
    path = tmp_path / "results.json"
    path.write_text(printed.out)
    (saved,) = read_results(path, catalogue()).values()
    row = next(row for row in json.loads(printed.out)["rows"] if row["method"] == "self_consistency")
    assert math.isclose(float(saved["tokens_percent"]), 100 * row["saving"], abs_tol=0.05)
    assert saved["questions"] == 4


def test_the_file_of_settings_names_it() -> None:
    settings = read({"engine": {"main": {"model": "echo"}}, "model": {"m": {"results": "r.json"}}})
    assert settings.models["m"] == replace(Model("m"), results="r.json")
