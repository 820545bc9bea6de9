"""The picture of a router: what part of the gap it recovers at each share of strong calls, beside random routing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ponder.bench.plots import MUTED, PALETTE, drawing, picture
from ponder.weights.staged import staged_file

if TYPE_CHECKING:
    from ponder.train.routers.train import Measured


def draw(found: Measured, file: Path) -> None:
    """Write the curve as SVG or PNG, by the file's name."""
    with drawing(4.0) as figure:
        axes = figure.subplots()
        axes.plot([0, 100], [0, 100], color=MUTED, linestyle="--", label="random routing")
        axes.plot(100 * found.curve.calls, 100 * found.curve.recovered, color=PALETTE[0], label="router, across folds")
        axes.set_xlabel("questions to the strong choice, %")
        axes.set_ylabel("part of the gap recovered, %")
        axes.legend(frameon=False)
        title = f"APGR {found.apgr:.3f} on {found.questions:,} questions"
        made = picture(figure, "routing", title, "part of the gap recovered by the share of strong calls")
    with staged_file(file) as stage:
        stage.write_bytes(made.svg.encode() if file.suffix == ".svg" else made.png)
