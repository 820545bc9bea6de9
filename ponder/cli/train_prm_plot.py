"""The picture of a reward model: what steps are worth, against how they are scored, on questions that were held out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ponder.bench.plots import MUTED, PALETTE, drawing, picture
from ponder.weights.staged import staged_file

if TYPE_CHECKING:
    from ponder.train.prm.head import Measured


def draw(found: Measured, file: Path) -> None:
    """Write the reliability curve as SVG or PNG, by the file's name; a dot is as large as its share of steps."""
    bins = found.calibration.bins
    with drawing(4.0) as figure:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], color=MUTED, linestyle="--", label="scores that can be taken at their word")
        scores, values = [one.score for one in bins], [one.value for one in bins]
        axes.plot(scores, values, color=PALETTE[0], label="steps, in tenths of the score")
        axes.scatter(scores, values, [300 * one.steps / found.steps + 4 for one in bins], color=PALETTE[0])
        axes.set_xlabel("mean score")
        axes.set_ylabel("mean worth of the steps")
        axes.legend(frameon=False)
        error, area = found.calibration.ece, found.areas["head"]
        title = f"Calibration error {error:.3f}, AUC {area.auc:.3f} on {found.steps:,} steps"
        made = picture(figure, "reliability", title, "mean worth of steps by their score")
    with staged_file(file) as stage:
        stage.write_bytes(made.svg.encode() if file.suffix == ".svg" else made.png)
