import gzip
import json
from pathlib import Path

import pytest

from ponder.bench import recorded
from ponder.bench.recorded import RecordedProbe, read_traces
from ponder.core.errors import DataError

GOOD = {"id": "a", "question": "1 + 1?", "answer": "2", "samples": [{"text": "It is 2."}]}


def write(path: Path, *lines: object) -> Path:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    path.write_text(text + "\n", encoding="utf-8")
    return path


def test_the_least_that_a_line_may_hold(tmp_path: Path) -> None:
    (problem,) = read_traces(write(tmp_path / "t.jsonl", {"id": 7, "samples": [{"text": "four letters"}]}))
    assert (problem.id, problem.question, problem.answer, problem.tokenizer) == ("7", None, None, None)
    (sample,) = problem.samples
    assert (sample.tokens, sample.exact) == (3, False)
    assert (sample.predicted, sample.prediction, sample.correct) == (False, None, None)
    assert (sample.reward, sample.closed_thinking, sample.probes) == (None, None, ())


def test_everything_that_a_line_may_hold(tmp_path: Path) -> None:
    sample = {
        "text": "<think>x</think>C",
        "prediction": 3,
        "correct": 1,
        "reward": -4.25,
        "max_new_tokens": 1500,
        "temperature": 0.6,
        "closed_thinking": True,
        "tokens": 9,
        "probes": [{"at": 2, "answer": "B", "p": 0.5, "tokens": 1}, {"at": 4, "answer": None}],
    }
    line = {**GOOD, "level": "Level 2", "answer": 2.5, "samples": [sample]}
    (problem,) = read_traces(write(tmp_path / "t.jsonl", line))
    assert problem.answer == "2.5"
    assert problem.fields["level"] == "Level 2"
    (read,) = problem.samples
    assert (read.tokens, read.exact, read.predicted, read.prediction, read.correct) == (9, True, True, "3", True)
    assert read.probes == (RecordedProbe(2, "B", 0.5, 1), RecordedProbe(4, "", None, 1))
    assert read.fields["max_new_tokens"] == 1500


@pytest.mark.parametrize(
    ("fields", "correct"),
    [({"score": 1}, True), ({"score": 0.9}, False), ({"correct": False, "score": 1}, False), ({"correct": None}, None)],
)
def test_grading_is_correct_or_a_full_score(tmp_path: Path, fields: dict[str, object], correct: bool | None) -> None:
    (problem,) = read_traces(write(tmp_path / "t", {**GOOD, "samples": [{"text": "", **fields}]}))
    assert problem.samples[0].correct is correct


def test_gzip_is_known_by_its_content_and_blank_lines_are_skipped(tmp_path: Path) -> None:
    text = "\n" + json.dumps(GOOD) + "\n\n" + json.dumps({**GOOD, "id": "b"})
    (tmp_path / "packed.jsonl").write_bytes(gzip.compress(text.encode()))
    assert [problem.id for problem in read_traces(tmp_path / "packed.jsonl")] == ["a", "b"]
    assert [problem.id for problem in read_traces(tmp_path / "packed.jsonl", limit=1)] == ["a"]


def test_the_tokenizer_may_stand_in_a_first_line_or_with_the_problem(tmp_path: Path) -> None:
    own = {**GOOD, "id": "b", "tokenizer": "other"}
    problems = list(read_traces(write(tmp_path / "t", {"tokenizer": "qwen2"}, GOOD, own)))
    assert [problem.tokenizer for problem in problems] == ["qwen2", "other"]


def with_sample(**fields: object) -> dict[str, object]:
    return {**GOOD, "samples": [{"text": "fine"}, {"text": "x", **fields}]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{broken", r"line 2 is not JSON"),
        ("[1]", r"line 2 is not an object"),
        ("[" * 100_000, r"line 2 is not JSON"),
        ({"samples": [{"text": "x"}]}, r"line 2 has no field 'id'"),
        ({"id": "b"}, r"line 2 has no field 'samples'"),
        ({"id": True, "samples": [{"text": "x"}]}, r"line 2: id = True must be a text or a whole number"),
        ({**GOOD, "id": "b", "samples": []}, r"line 2: samples must be a list with at least one reply"),
        ({**GOOD, "id": "b", "answer": ["2"]}, r"line 2: answer = \['2'\] must be a text, a number or null"),
        (GOOD, r"line 2: the id 'a' stands on an earlier line"),
        ({**GOOD, "samples": ["x"]}, r"line 2, sample 0: a sample must be an object with the field text"),
        ({**GOOD, "samples": [{"reply": "x"}]}, r"line 2, sample 0: there is no field 'text'"),
        (with_sample(correct="yes"), r"line 2, sample 1: correct = 'yes' must be true or false"),
        (with_sample(score=7), r"line 2, sample 1: score = 7.0 must be in 0 to 1"),
        (with_sample(reward="high"), r"line 2, sample 1: reward = 'high' must be a number"),
        (with_sample(reward=10**400), r"line 2, sample 1: reward = 10+ must be a number"),
        ('{"id": "b", "samples": [{"text": "x", "reward": ' + "9" * 5000 + "}]}", r"line 2 is not JSON"),
        (with_sample(tokens=-1), r"line 2, sample 1: tokens = -1 must be a whole number from 0"),
        (with_sample(tokens=2.5), r"line 2, sample 1: tokens = 2.5 must be a whole number from 0"),
        (with_sample(probes={}), r"line 2, sample 1: probes must be a list"),
        (with_sample(probes=[{"at": 1}]), r"line 2, sample 1: probe 0 must be an object with at and answer"),
        (with_sample(probes=[{"at": -1, "answer": "x"}]), r"sample 1: probe 0: at = -1 must be a whole number from 0"),
        (with_sample(probes=[{"at": 1, "answer": "x", "p": 2}]), r"probe 0: p = 2.0 must be in 0 to 1"),
        (
            with_sample(probes=[{"at": 5, "answer": "x"}, {"at": 5, "answer": "y"}]),
            r"line 2, sample 1: probe 1: at = 5 must be greater than that of the probe before, 5",
        ),
        ('{"id": "b", "samples": [{"text": "x", "reward": NaN}]}', r"reward = nan must be a number"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_line(tmp_path: Path, line: object, message: str) -> None:
    path = write(tmp_path / "traces.jsonl", GOOD, line)
    problems = read_traces(path)
    assert next(problems).id == "a"
    with pytest.raises(DataError, match=message) as caught:
        next(problems)
    assert str(path) in str(caught.value)


def test_files_that_are_no_traces(tmp_path: Path) -> None:
    whole = gzip.compress("\n".join(json.dumps({**GOOD, "id": i}) for i in range(5000)).encode())
    (tmp_path / "cut").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped").write_bytes(whole[:200] + bytes(64) + whole[264:])
    (tmp_path / "empty").touch()
    (tmp_path / "latin").write_bytes('{"id": "é"}'.encode("latin-1"))
    for name, message in {
        "cut": "is broken after line",
        "flipped": "is broken after line",
        "empty": "holds no problem",
        "latin": "line 1 is not UTF-8 text",
        "missing": "cannot be read: No such file or directory; check the path",
        ".": "cannot be read: Is a directory",
    }.items():
        with pytest.raises(DataError, match=message):
            list(read_traces(tmp_path / name))


def test_a_line_that_never_ends_is_not_read_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorded, "MAX_LINE", 2**20)
    (tmp_path / "bomb").write_bytes(gzip.compress(json.dumps(GOOD).encode() + b"\n" + b" " * 2**22))
    problems = read_traces(tmp_path / "bomb")
    assert next(problems).id == "a"
    with pytest.raises(DataError, match="line 2 is longer than 1 MiB"):
        next(problems)
