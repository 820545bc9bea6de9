"""The picture of a reward model's calibration."""

from __future__ import annotations

from pathlib import Path

import pytest

from ponder.cli.train_prm_plot import draw
from ponder.core.errors import DataError
from ponder.train.prm.head import Measured, measure
from ponder.train.prm.rows import Reply, Step


def measured() -> Measured:
    steps = [Step(n, float(n % 3 > 0), "right") for n in range(1, 31)]
    reply = Reply("q", 0, "x" * 40, True, 5, 0, tuple(steps))
    return measure([(reply, step, n) for n, step in enumerate(steps)], [n / 31 for n in range(1, 31)])


def test_it_says_what_it_shows(tmp_path: Path) -> None:
    draw(measured(), tmp_path / "r.svg")
    text = (tmp_path / "r.svg").read_text("utf-8")
    assert text.startswith("<svg")
    assert "Calibration error" in text
    assert "30 steps" in text
    draw(measured(), tmp_path / "r.png")
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "r.svg").mkdir()
    with pytest.raises(DataError, match="is a folder"):
        draw(measured(), tmp_path / "r.svg")
