"""What a training shows: a bar on a terminal, lines now and then elsewhere, and nothing where it shall be quiet."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from ponder.cli import train_progress
from ponder.cli.train_progress import TrainProgress, evaluation_text, portion_text

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.train.loops.portions import Portion  # noqa: E402
from ponder.train.loops.record import Step  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

PORTION = Portion("sums.jsonl", tuple(range(1200)), 1212, 3, 9, 41.26)
STEP = Step(step=1, steps=4, stage=0, loss=1.23456, learning_rate=1e-3, grad_norm=0.5, tokens=1000, seconds=2.0)
EVALUATION = {"questions": 50, "accuracy": 0.5, "low": 0.366, "high": 0.634, "tokens": 31.25, "truncated": 0.02}


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Lets time pass."""
    now = [100.0]
    monkeypatch.setattr(train_progress, "time", SimpleNamespace(monotonic=lambda: now[0]))

    def pass_(seconds: float) -> None:
        now[0] += seconds

    return pass_


def test_a_stage_in_one_line() -> None:
    assert portion_text(PORTION) == (
        "sums.jsonl: 1,200 rows, 41.3 tokens to learn in the mean; left out: 3 too long, 9 of longer stages"
    )
    assert portion_text(replace(PORTION, too_long=0, beyond=0)).endswith("41.3 tokens to learn in the mean")
    assert portion_text(replace(PORTION, beyond=0)).endswith("; left out: 3 too long")


def test_an_evaluation_in_one_line() -> None:
    assert evaluation_text(EVALUATION) == "50.0 % right [36.6, 63.4] of 50, 31.2 tokens, 2.0 % cut"
    assert evaluation_text({"thought": 12.5, "right": 1.0}) == "thought 12.5  right 1"


def test_lines_come_now_and_then_and_at_the_end(
    wait: Callable[[float], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with TrainProgress() as progress:
        progress.begun([PORTION], 0)
        for step in range(1, 5):
            wait(16)
            progress.step(replace(STEP, step=step, tokens=800 * step))
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        portion_text(PORTION), "2/4  stage 1  loss 1.2346  50 tok/s", "4/4  stage 1  loss 1.2346  50 tok/s"
    ]  # fmt: skip


def test_evaluations_and_what_was_done_before_are_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainProgress() as progress:
        progress.begun([], 7)
        progress.step(replace(STEP, step=8, steps=20, evaluation=EVALUATION))
    assert capsys.readouterr().err.splitlines() == [
        "going on behind step 7", f"step 8: {evaluation_text(EVALUATION)}"
    ]  # fmt: skip


def test_quiet_is_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    with TrainProgress(quiet=True) as progress:
        progress.begun([PORTION], 3)
        progress.step(replace(STEP, step=4, evaluation=EVALUATION))
    assert capsys.readouterr() == ("", "")


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with TrainProgress() as progress:
        progress.begun([PORTION], 0)
        progress.step(replace(STEP, step=3, stage=1))
    shown = capsys.readouterr().err
    assert "sums.jsonl: 1,200 rows" in shown
    assert "stage 2" in shown
    assert "3/4" in shown
    assert "loss 1.2346" in shown
