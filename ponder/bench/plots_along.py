"""The picture of a replay along recorded thoughts: accuracy against tokens, a line for each rule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.bench import metrics
from ponder.bench.metrics import Point
from ponder.bench.plots import INK, MARKERS, MUTED, PALETTE, Plot, drawing, picture
from ponder.bench.summary import Row
from ponder.core.errors import DataError, OptionError

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def along_plot(rows: Sequence[Row]) -> Plot:
    """Draw every rule as a line through its points, in the order of their tokens, with the mixture of the constants.

    The interval of the accuracy stands beside each point as a faint line. Raises `DataError` where nothing was judged.
    """
    shown = [row for row in rows if row.accuracy is not None]
    if not shown:
        raise DataError("no thought could be judged, so that there is no accuracy to draw; leave out --plot")
    names = sorted(dict.fromkeys(row.method for row in shown), key=lambda name: name in ("full", "at_once"))
    with drawing(4.8) as figure:
        axes = figure.add_subplot()
        for place, name in enumerate(names):
            _rule(axes, [row for row in shown if row.method == name], name, place)
        _mixture(axes, shown)
        axes.set_xlim(left=0)
        axes.set_xlabel("generated tokens a question, probes included")
        axes.set_ylabel("accuracy")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=4, handlelength=2.2, fontsize=8.5)
        alt = "; ".join(f"{row.label}: {row.tokens:.0f} tokens, {100 * (row.accuracy or 0):.1f} %" for row in shown)
        return picture(figure, "along", "Accuracy against tokens of every stop rule", alt)


def _rule(axes: Axes, rows: Sequence[Row], name: str, place: int) -> None:
    # Constants are drawn as the line between them is.
    alone = name in ("full", "at_once")
    colour, marker = INK if alone else PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
    ordered = sorted(rows, key=lambda row: (row.tokens, row.accuracy or 0.0))
    tokens, accuracy = [row.tokens for row in ordered], [row.accuracy or 0.0 for row in ordered]
    axes.plot(tokens, accuracy, marker=marker, color=colour, linewidth=1.1, markersize=4.5, label=name, zorder=4)
    for row in ordered:
        axes.plot([row.tokens] * 2, row.accuracy_interval or (), color=colour, linewidth=0.8, alpha=0.25, zorder=3)


def _mixture(axes: Axes, rows: Sequence[Row]) -> None:
    import numpy as np

    line = next((row.mixture for row in rows if row.mixture), None)
    ends = {row.label: Point(row.tokens, row.accuracy or 0.0) for row in rows if line and row.label in line}
    if line is None or len(ends) < 2:
        return
    high = max(row.tokens for row in rows)
    tokens = np.array(sorted([0.0, *(point.tokens for point in ends.values()), high]))
    accuracy = metrics.mixture_line(tokens, ends[line[0]], ends[line[1]])
    label = f"{line[0]} and {line[1]} mixed"
    axes.plot(tokens, accuracy, "--", color=INK, linewidth=1.1, alpha=0.7, label=label, zorder=2)
    axes.axhline(ends[line[0]].accuracy, color=MUTED, linewidth=0.7, alpha=0.6, zorder=1)


def write_plot(path: Path, plot: Plot) -> None:
    """Write a picture as its name says: `.svg` or `.png`. Raises `OptionError` for another ending."""
    check_name(path)
    if path.suffix == ".svg":
        path.write_text(plot.svg, encoding="utf-8")
    else:
        path.write_bytes(plot.png)


def check_name(path: Path) -> None:
    """Raise `OptionError` unless the name says what kind of picture is wanted."""
    if path.suffix not in (".svg", ".png"):
        raise OptionError(f"--plot {path}: a picture is .svg or .png; give it one of these endings")
