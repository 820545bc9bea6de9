import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ponder.cli.replay import replay
from ponder.core.errors import DataError, EngineError, OptionError

SLICES = Path(__file__).parents[1] / "data" / "traces"
QWEN = str(SLICES / "qwen2.5_math_x8.jsonl.gz")
R1 = str(SLICES / "r1_distill_1.5b_math.jsonl.gz")


def call(*args: str) -> str:
    return CliRunner().invoke(replay, args, catch_exceptions=False).stdout


def test_json_is_one_object_and_nothing_else() -> None:
    shown = json.loads(call(QWEN, "--methods", "sample,self_consistency", "--grading", "recorded", "--json"))
    assert list(shown) == ["run", "rows"]
    assert [row["method"] for row in shown["rows"]] == ["sample", "self_consistency"]
    assert shown["run"]["graded"] == {"recorded": 120, "ponder": 0, "unknown": 0}
    assert "8" in shown["rows"][0]["pass_at"]
    assert shown["rows"][1]["baseline"] == "sample"


def test_the_table_for_people() -> None:
    said = call(QWEN)
    assert "qwen2.5_math_x8.jsonl.gz: 15 problems" in said
    assert "self_consistency" in said
    assert "sample: pass@2" in said
    assert "120 samples of 15 problems; 100.0 % reached their end." in said


def test_subsets_for_people() -> None:
    said = call(R1, "--methods", "sample", "--by", "max_new_tokens", "--common")
    for limit in (1500, 1800, 3600):
        assert f"sample, max_new_tokens={limit}" in said
        assert f"max_new_tokens = {limit}: 9 samples of 9 problems" in said
    assert "do not have every max_new_tokens and were left out" in said


def test_limit_options_and_baseline() -> None:
    shown = json.loads(call(QWEN, "--limit", "3", "-o", "n=4", "--baseline", "self_consistency(n=4)", "--json"))
    assert shown["run"]["problems"] == 3
    assert [row["attempts"] for row in shown["rows"]] == [24, 6]
    assert {row["baseline"] for row in shown["rows"]} == {"self_consistency(n=4)"}


def test_a_curve_for_people_and_as_json() -> None:
    said = call(QWEN, "--methods", "sample", "--curve")
    assert "15 questions" in said
    assert "maj@k" in said
    shown = json.loads(call(QWEN, "--methods", "sample", "--curve", "--json"))
    (curve,) = shown["curves"]
    assert (curve["label"], curve["questions"]) == ("", 15)
    assert [point["k"] for point in curve["points"]] == list(range(1, 9))
    first = curve["points"][0]
    assert first["pass"]["value"] == pytest.approx(shown["rows"][0]["accuracy"])
    assert first["pass"]["interval"][0] <= first["pass"]["value"] <= first["pass"]["interval"][1]


def test_disagreements_are_listed(tmp_path: Path) -> None:
    sample = {"text": "\\boxed{1}", "correct": False, "prediction": "1"}
    path = tmp_path / "t.jsonl"
    path.write_text(json.dumps({"id": "odd-one", "answer": "1", "samples": [sample]}))
    said = call(str(path), "--disagreements")
    assert "1 samples are graded otherwise by their source than by our verifier." in said
    assert "odd-one" in said
    shown = json.loads(call(str(path), "--disagreements", "--json"))
    assert shown["disagreements"][0]["ours"] is True
    assert shown["rows"][0]["accuracy"] == 0
    ours = json.loads(call(str(path), "--grading", "ponder", "--verifier", "number", "--json"))
    assert (ours["rows"][0]["accuracy"], ours["run"]["verifier"]) == (1, "number")


def test_a_plugin_is_replayed_too(tmp_path: Path) -> None:
    plugin = tmp_path / "mine.py"
    plugin.write_text(
        "from dataclasses import dataclass\n"
        "from ponder.methods.vote.sample import Sample\n\n"
        "@dataclass(frozen=True)\n"
        "class Mine(Sample):\n    pass\n\n"
        "METHODS = {'mine': Mine}\n"
    )
    shown = json.loads(call(QWEN, "--methods", "sample,mine", "--plugin", str(plugin), "--json"))
    first, second = shown["rows"]
    assert second["method"] == "mine"
    assert second["accuracy"] == first["accuracy"]


@pytest.mark.parametrize(
    ("args", "error", "message"),
    [
        (("missing.jsonl",), DataError, "cannot be read: No such file"),
        ((QWEN, "--verifier", "maths"), OptionError, "there is no verifier 'maths'; did you mean 'math'"),
        ((QWEN, "--methods", "samples"), OptionError, "there is no method 'samples'; did you mean 'sample'"),
        ((QWEN, "--common"), OptionError, "--by"),
        ((QWEN, "--methods", "concise_cot"), EngineError, "replay methods that leave the question as it is"),
        ((QWEN, "--methods", "no_thinking"), EngineError, "none was recorded; leave out what stops there"),
        ((QWEN, "--baseline", "smaple"), DataError, "the baseline 'smaple' is not in this run; did you mean 'sample'"),
    ],
)
def test_mistakes_are_one_sentence(args: tuple[str, ...], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message) as caught:
        call(*args)
    assert "\n" not in str(caught.value)


def test_the_program_exits_with_1_and_the_sentence(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_text('{"id": 1}\n')
    command = [sys.executable, "-c", "from ponder.cli import main; main()", "replay", str(tmp_path / "bad.jsonl")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "line 1 has no field 'samples'" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
