"""The log of a run: a line a step, evaluations when they are due, and nothing behind a checkpoint that is taken up."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from ponder.core.errors import DataError
from ponder.train.loops.plan import Plan

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.train.loops.encode import Encoded  # noqa: E402
from ponder.train.loops.record import Recorder, Step  # noqa: E402

if TYPE_CHECKING:
    from ponder.train.loops.adapt import Model

ROWS = [Encoded((1,) * size, 1) for size in (3, 5, 7)]
PLAN = Plan(batches=((0, 1), (2,), (0,), (1, 2), (0, 1, 2)), ends=(2, 5))
MODEL = cast("Model", object())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log.jsonl"


def go(recorder: Recorder, first: int, last: int) -> None:
    for number in range(first, last + 1):
        recorder.step(number, 1 / number, 1e-3, 0.5, MODEL)


def lines(path: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_line_says_stage_and_tokens(path: Path) -> None:
    seen: list[Step] = []
    recorder = Recorder(path, PLAN, ROWS, progress=seen.append)
    assert recorder.last is None
    recorder.begin(0)
    go(recorder, 1, 5)
    assert [line["tokens"] for line in lines(path)] == [8, 15, 18, 30, 45]
    assert [line["stage"] for line in lines(path)] == [0, 0, 1, 1, 1]
    assert [*lines(path)[1]] == ["step", "stage", "loss", "learning_rate", "grad_norm", "tokens", "seconds"]
    assert (lines(path)[1]["loss"], lines(path)[1]["grad_norm"]) == (0.5, 0.5)
    assert [step.steps for step in seen] == [5] * 5
    assert recorder.last == seen[-1]


@pytest.mark.parametrize(("every", "due"), [(0, [2, 5]), (2, [2, 4, 5]), (3, [2, 3, 5])])
def test_evaluations_are_due_at_the_end_of_stages_and_between(path: Path, every: int, due: list[int]) -> None:
    asked: list[object] = []

    def evaluate(model: Model) -> Mapping[str, float]:
        asked.append(model)
        return {"accuracy": len(asked) / 10}

    recorder = Recorder(path, PLAN, ROWS, evaluate, every=every)
    recorder.begin(0)
    go(recorder, 1, 5)
    assert [line["step"] for line in lines(path) if "evaluation" in line] == due
    assert asked == [MODEL] * len(due)
    assert recorder.last is not None
    assert recorder.last.evaluation == {"accuracy": len(due) / 10}


def test_a_run_is_taken_up_behind_its_checkpoint(path: Path) -> None:
    first = Recorder(path, PLAN, ROWS)
    first.begin(0)
    go(first, 1, 4)
    with path.open("a") as file:
        file.write('{"step": 5, "sta')
    second = Recorder(path, PLAN, ROWS)
    second.begin(3)
    assert [line["step"] for line in lines(path)] == [1, 2, 3]
    before = lines(path)[2]["seconds"]
    go(second, 4, 5)
    assert [line["step"] for line in lines(path)] == [1, 2, 3, 4, 5]
    assert [line["tokens"] for line in lines(path)] == [8, 15, 18, 30, 45]
    assert lines(path)[4]["seconds"] >= lines(path)[3]["seconds"] >= before


def test_a_new_run_begins_an_empty_log(path: Path) -> None:
    path.write_text('{"step": 1, "seconds": 5.0}\n')
    Recorder(path, PLAN, ROWS).begin(0)
    assert path.read_text() == ""


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "gone" / "log.jsonl", PLAN, ROWS)
    with pytest.raises(DataError, match=r"log\.jsonl cannot be written \(No such file or directory\); make room"):
        recorder.step(1, 1.0, 1e-3, 0.5, MODEL)
