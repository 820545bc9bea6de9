"""The pictures of a report: accuracy against tokens, tokens by role, lengths of right and wrong answers, truncation."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from ponder.bench import labels, metrics, stats
from ponder.bench.arms import Arm
from ponder.bench.metrics import Point
from ponder.bench.summary import Row
from ponder.core.errors import PonderError

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

INK, MUTED, GRID = "#1b1f23", "#656d75", "#dde1e5"
"""Of text, of lines beside the data, of the grid; a page that shows SVG inline may give them other values."""
RIGHT, WRONG, UNKNOWN = "#0072b2", "#d55e00", "#999998"
PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#7a68d8", "#9a6a3a")
"""Okabe and Ito's colours, which colour-blind readers tell apart, and two more; shapes tell them apart as well."""
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "p")
ROLE_COLOURS = {
    "think": "#0072b2",
    "answer": "#009e73",
    "probe": "#e69f00",
    "draft": "#cc79a7",
    "verify": "#56b4e9",
    "route": "#d55e00",
}
_WIDTH = 7.4
LOGARITHMIC = 20
"""From this ratio of the longest to the shortest on, an axis of tokens is logarithmic."""
_STYLE: dict[str, object] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ponder",
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.edgecolor": MUTED,
    "axes.labelcolor": INK,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "legend.frameon": False,
    "hatch.linewidth": 1.1,
}


class PlotsMissing(PonderError):
    """Matplotlib is not installed."""


@dataclass(frozen=True, slots=True)
class Plot:
    """A picture as SVG text and as PNG bytes; `alt` says in words what it shows."""

    name: str
    title: str
    alt: str
    svg: str
    png: bytes


@dataclass(frozen=True, slots=True)
class Lengths:
    """The tokens of an arm's attempts, apart by what became of them; `cut` marks those that a limit ended."""

    label: str
    tokens: Floats
    correct: Floats
    """1, 0, or NaN where it cannot be told."""
    cut: NDArray[np.bool_]

    @classmethod
    def of(cls, label: str, arm: Arm) -> Lengths:
        """Take them from an arm."""
        columns = arm.columns()
        return cls(label, columns.tokens, columns.correct, columns.truncated)


def tradeoff(rows: Sequence[Row]) -> Plot | None:
    """Draw accuracy against mean tokens with both intervals, the frontier, and the mixture of the constants.

    Returns None where no row has an accuracy.
    """
    shown = [row for row in rows if row.accuracy is not None and row.accuracy_interval is not None]
    if not shown:
        return None
    points = [Point(row.tokens, row.accuracy or 0.0) for row in shown]
    with drawing(4.6) as figure:
        axes = figure.add_subplot()
        _limits(axes, shown)
        _frontier(axes, points)
        _mixture(axes, shown, points)
        for row, point in zip(shown, points, strict=True):
            _cross(axes, row, point, *_look(rows, row))
        axes.set_xlabel("generated tokens a question" + _scale_note(axes))
        axes.set_ylabel("accuracy")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        # Below the plot, so that it can hide no point.
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), ncols=2, handlelength=2.6, fontsize=8.5)
        names = [(_name(rows, row), _look(rows, row)[0]) for row in shown]
        labels.place(figure, axes, points, names)
        alt = "; ".join(
            f"{_name(rows, row)}: {row.tokens:.0f} tokens, {100 * (row.accuracy or 0):.1f} %" for row in shown
        )
        return picture(figure, "accuracy-tokens", "Accuracy against tokens", alt)


def roles(rows: Sequence[Row]) -> Plot:
    """Draw each method's mean tokens as a bar, stacked by who asked for them, with the interval of the sum."""
    used = [role for role in ROLE_COLOURS if any(row.tokens_by_role.get(role) for row in rows)]
    with drawing(0.9 + 0.42 * len(rows)) as figure:
        axes = figure.add_subplot()
        places = range(len(rows))
        left = [0.0] * len(rows)
        for role in used:
            widths = [row.tokens_by_role.get(role, 0.0) for row in rows]
            axes.barh(places, widths, 0.62, left=left, color=ROLE_COLOURS[role], label=role)
            left = [a + b for a, b in zip(left, widths, strict=True)]
        end = max(row.tokens_interval.high for row in rows)
        for place, row in enumerate(rows):
            axes.plot(row.tokens_interval, [place, place], color=INK, linewidth=1.2, solid_capstyle="butt")
            mark = "" if row.exact else "≈ "
            axes.text(
                row.tokens_interval.high + end * 0.012, place, f"{mark}{row.tokens:,.0f}", va="center", fontsize=9
            )
        _named_rows(axes, rows)
        axes.set_xlim(0, (end or 1) * 1.1)
        axes.set_xlabel("generated tokens a question")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        if used:
            axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=6, handlelength=1.0, fontsize=8.5)
        alt = "; ".join(f"{_name(rows, row)}: {row.tokens:.0f}" for row in rows)
        return picture(figure, "tokens-by-role", "Tokens by role", alt)


def lengths(arms: Sequence[Lengths]) -> Plot:
    """Draw a histogram of tokens for each method: right answers upward, wrong ones downward, cut ones hatched."""
    edges, logarithmic = _edges(arms)
    with drawing(0.8 + 0.9 * len(arms)) as figure:
        panels = figure.subplots(len(arms), 1, sharex=True, squeeze=False)[:, 0]
        for axes, arm in zip(panels, arms, strict=True):
            _pyramid(axes, arm, edges)
            axes.spines["bottom"].set_visible(axes is panels[-1])
            axes.tick_params(axis="x", length=3 if axes is panels[-1] else 0)
        if logarithmic:
            panels[-1].set_xscale("log")
            panels[-1].minorticks_off()
            panels[-1].set_xticks(round_steps(edges[0], edges[-1]))
        panels[-1].set_xlim(edges[0], edges[-1] + 0.01 * (edges[-1] - edges[0]))
        panels[-1].set_xlabel("generated tokens of an attempt" + _scale_note(panels[-1]))
        panels[-1].xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        _lengths_legend(panels[0])
        alt = "; ".join(_lengths_alt(arm) for arm in arms)
        return picture(figure, "lengths", "Lengths of right and wrong answers", alt)


def truncation(rows: Sequence[Row]) -> Plot:
    """Draw the share of attempts that a limit cut short, with Wilson's interval."""
    with drawing(0.75 + 0.36 * len(rows)) as figure:
        axes = figure.add_subplot()
        for place, row in enumerate(rows):
            share, (low, high) = row.truncated / row.attempts, stats.wilson(row.truncated, row.attempts)
            axes.barh(place, share, 0.58, color=_look(rows, row)[0])
            axes.plot([low, high], [place, place], color=INK, linewidth=1.2, solid_capstyle="butt")
            axes.text(high + 0.01, place, f"{row.truncated:,} of {row.attempts:,}", va="center", fontsize=9)
        _named_rows(axes, rows)
        highest = max(stats.wilson(row.truncated, row.attempts).high for row in rows)
        axes.set_xlim(0, min(1.18, max(0.25, 1.25 * highest)))
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.set_xlabel("attempts cut by a limit")
        alt = "; ".join(f"{_name(rows, row)}: {row.truncated} of {row.attempts}" for row in rows)
        return picture(figure, "truncation", "Truncation", alt)


def themed(svg: str, prefix: str) -> str:
    """Return the SVG for use inside a page: ink, lines and grid take the page's colours, ids begin with `prefix`."""
    for colour, variable in ((INK, "--ink"), (MUTED, "--muted"), (GRID, "--grid")):
        svg = svg.replace(colour, f"var({variable}, {colour})")
    return _prefixed(svg, prefix)


def _prefixed(svg: str, prefix: str) -> str:
    """Several pictures share a page, so their ids must differ."""
    return re.sub(r'( id="|url\(#|href="#)', rf"\1{prefix}-", svg)


@contextmanager
def drawing(height: float) -> Iterator[Figure]:
    """Open a figure of our style, without pyplot and its global list of figures."""
    try:
        import matplotlib
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise PlotsMissing("plots need matplotlib, which is not installed; pip install 'ponder[plots]'") from None
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():  # type: ignore[arg-type]  # keys are a Literal there
        # A font without Chinese draws boxes into the PNG; the SVG keeps the text.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def picture(figure: Figure, name: str, title: str, alt: str) -> Plot:
    """Return what is drawn, as SVG and as PNG; `alt` says in words what it shows."""
    svg, png = io.StringIO(), io.BytesIO()
    figure.savefig(svg, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    figure.savefig(png, format="png", dpi=160, facecolor="white", metadata={"Software": None})
    text = svg.getvalue()
    text = text[text.index("<svg") :]
    text = _prefixed(text, name)
    # A fixed size in pixels would not fit a small screen.
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"', r"<svg \1", text, count=1)
    text = re.sub(
        r'(<svg xmlns:xlink="[^"]*")', rf'\1 role="img" aria-label="{escape(f"{title}: {alt}")}"', text, count=1
    )
    return Plot(name, title, alt, text, png.getvalue())


def _look(rows: Sequence[Row], row: Row) -> tuple[str, str]:
    place = next(i for i, other in enumerate(rows) if other is row)
    return PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]


def _name(rows: Sequence[Row], row: Row) -> str:
    """The method's label, with the model where several stand beside each other."""
    return row.label if len({other.model for other in rows}) == 1 else f"{row.label} · {row.model}"


def _named_rows(axes: Axes, rows: Sequence[Row]) -> None:
    axes.set_yticks(range(len(rows)), [_name(rows, row) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def _limits(axes: Axes, rows: Sequence[Row]) -> None:
    high_tokens = max(row.tokens_interval.high for row in rows)
    bounds = [bound for row in rows for bound in row.accuracy_interval or ()]
    low, high = min(bounds), max(bounds)
    room = max(0.04, 0.12 * (high - low))
    least = min(row.tokens for row in rows)
    if least > 0 and high_tokens > LOGARITHMIC * least:
        axes.set_xscale("log")
        axes.set_xlim(least * 0.6, high_tokens * 1.5)
        axes.minorticks_off()
        axes.set_xticks(round_steps(least * 0.6, high_tokens * 1.5))
    else:
        axes.set_xlim(0, (high_tokens or 1) * 1.08)
    axes.set_ylim(max(-0.02, low - room), min(1.04, high + room))


def _scale_note(axes: Axes) -> str:
    return " (logarithmic)" if axes.get_xscale() == "log" else ""


def round_steps(low: float, high: float) -> list[float]:
    """1, 2, 5, 10, 20 ... between the ends, for a logarithmic axis."""
    return [step * 10.0**power for power in range(9) for step in (1, 2, 5) if low <= step * 10**power <= high]


def _cross(axes: Axes, row: Row, point: Point, colour: str, marker: str) -> None:
    """One method: its marker, and both intervals."""
    bars = ((row.tokens_interval, (point.accuracy,) * 2), ((point.tokens,) * 2, row.accuracy_interval or ()))
    for tokens, accuracy in bars:
        axes.plot(tokens, accuracy, color=colour, linewidth=1.3, alpha=0.55, zorder=3)
    axes.plot(point.tokens, point.accuracy, marker, color=colour, markersize=7.5, zorder=4)


def _frontier(axes: Axes, points: Sequence[Point]) -> None:
    best = [points[i] for i in metrics.frontier(points)]
    tokens = [*(point.tokens for point in best), axes.get_xlim()[1]]
    accuracy = [*(point.accuracy for point in best), best[-1].accuracy]
    axes.step(tokens, accuracy, where="post", color=MUTED, linewidth=1.1, alpha=0.7, label="frontier", zorder=2)


def _mixture(axes: Axes, rows: Sequence[Row], points: Sequence[Point]) -> None:
    import numpy as np

    line = next((row.mixture for row in rows if row.mixture), None)
    if line is None:
        return
    ends = {row.label: point for row, point in zip(rows, points, strict=True) if row.label in line}
    if set(ends) != set(line):
        return
    low, high = axes.get_xlim()
    corners = [0.0, ends[line[0]].tokens, ends[line[1]].tokens, high]
    # Straight lines are curves on a logarithmic axis.
    tokens = np.array(sorted(corners)) if low == 0 else np.geomspace(low, high, 100)
    accuracy = metrics.mixture_line(tokens, ends[line[0]], ends[line[1]])
    label = f"{line[0]} and {line[1]} mixed by chance"
    axes.plot(tokens, accuracy, "--", color=INK, linewidth=1.2, alpha=0.75, label=label, zorder=2)


def _edges(arms: Sequence[Lengths]) -> tuple[Floats, bool]:
    """Return the edges of 40 bins for all methods, and whether they grow by a factor instead of a step."""
    import numpy as np

    whole = [arm.tokens for arm in arms if len(arm.tokens)]
    longest = max((float(tokens.max()) for tokens in whole), default=1.0) + 1
    medians = [max(1.0, float(np.median(tokens))) for tokens in whole] or [1.0]
    if max(medians) > LOGARITHMIC * min(medians):
        shortest = max(1.0, min(float(tokens.min()) for tokens in whole) * 0.9)
        return np.geomspace(shortest, longest, 41), True
    return np.linspace(0, longest, 41), False


def _pyramid(axes: Axes, arm: Lengths, edges: Floats) -> None:
    """Right answers upward, unknown ones on top of them, wrong ones downward; what a limit cut is hatched."""
    import numpy as np

    def counts(mask: NDArray[np.bool_]) -> Floats:
        return np.histogram(np.maximum(arm.tokens[mask], edges[0]), edges)[0].astype(np.float64)

    right, wrong = arm.correct == 1, arm.correct == 0
    unknown = ~(right | wrong)
    base = np.zeros(len(edges) - 1)
    for mask, colour, sign, bottom in (
        (right, RIGHT, 1, base),
        (unknown, UNKNOWN, 1, counts(right)),
        (wrong, WRONG, -1, base),
    ):
        whole = bottom + sign * counts(mask & ~arm.cut)
        cut = whole + sign * counts(mask & arm.cut)
        axes.stairs(whole, edges, baseline=bottom, fill=True, color=colour)
        if (cut != whole).any():
            hatched = {"facecolor": "none", "edgecolor": colour, "hatch": "/////", "linewidth": 0.0}
            axes.stairs(cut, edges, baseline=whole, fill=True, **hatched)  # type: ignore[arg-type]  # mixed keywords
        if mask.any() and mask is not unknown:
            axes.plot(np.median(arm.tokens[mask]), 0, "v" if sign > 0 else "^", color=INK, markersize=5, zorder=5)
    axes.axhline(0, color=MUTED, linewidth=0.8)
    axes.set_yticks([])
    axes.set_ylabel(arm.label, rotation=0, ha="right", va="center", labelpad=8)
    axes.spines["left"].set_visible(False)
    axes.margins(y=0.12)


def _lengths_legend(axes: Axes) -> None:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    handles = [
        Patch(facecolor=RIGHT, label="right, upward"),
        Patch(facecolor=WRONG, label="wrong, downward"),
        Patch(facecolor="none", edgecolor=MUTED, hatch="/////", label="cut by a limit"),
        Line2D([], [], color=INK, marker="v", linestyle="none", markersize=5, label="median"),
    ]
    axes.legend(handles=handles, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=4, handlelength=1.4, fontsize=8.5)


def _lengths_alt(arm: Lengths) -> str:
    import numpy as np

    parts = [
        f"{word} median {np.median(arm.tokens[arm.correct == value]):.0f}"
        for word, value in (("right", 1), ("wrong", 0))
        if (arm.correct == value).any()
    ]
    return f"{arm.label}: {', '.join([*parts, f'{int(arm.cut.sum())} cut'])}"
