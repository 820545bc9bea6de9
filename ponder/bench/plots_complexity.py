"""The picture of token complexity: the best accuracy at each number of tokens, and where methods are below it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ponder.bench import labels
from ponder.bench.complexity import Complexity
from ponder.bench.metrics import Point
from ponder.bench.plots import INK, LOGARITHMIC, MARKERS, MUTED, PALETTE, Plot, drawing, picture, round_steps

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def complexity_plot(found: Complexity) -> Plot:
    """Draw the bound as a curve and each method as a point, with a line down to it from the bound at its tokens."""
    points = [Point(row.tokens, row.accuracy) for row in found.rows]
    with drawing(4.8) as figure:
        axes = figure.add_subplot()
        _limits(axes, found)
        _bound(axes, found)
        for place, row in enumerate(found.rows):
            colour, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
            axes.plot([row.tokens] * 2, [row.accuracy, row.bound], ":", color=MUTED, linewidth=1.0, zorder=2)
            axes.plot(row.tokens, row.accuracy, marker, color=colour, markersize=7, zorder=4)
        axes.set_xlabel("generated tokens a question" + (" (logarithmic)" if axes.get_xscale() == "log" else ""))
        axes.set_ylabel("accuracy")
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.13), handlelength=2.6, fontsize=8.5)
        names = [(row.label, PALETTE[place % len(PALETTE)]) for place, row in enumerate(found.rows)]
        labels.place(figure, axes, points, names)
        alt = "; ".join(
            f"{row.label}: {row.tokens:.0f} tokens, {100 * row.accuracy:.1f} % of at most {100 * row.bound:.1f} %"
            for row in found.rows
        )
        return picture(figure, "token-complexity", "Accuracy beside the bound of token complexity", alt)


def _limits(axes: Axes, found: Complexity) -> None:
    """Show the methods, and as much of the bound as has their accuracies."""
    used = [row.tokens for row in found.rows] + [row.fewest for row in found.rows if row.fewest]
    least, most = min(used), max(used)
    if least > 0 and most > LOGARITHMIC * least:
        axes.set_xscale("log")
        axes.set_xlim(least * 0.6, most * 1.5)
        axes.minorticks_off()
        axes.set_xticks(round_steps(least * 0.6, most * 1.5))
    else:
        axes.set_xlim(0, (most or 1) * 1.08)
    heights = [height for row in found.rows for height in (row.accuracy, row.bound)]
    room = max(0.04, 0.12 * (max(heights) - min(heights)))
    axes.set_ylim(max(-0.02, min(heights) - room), min(1.04, max(heights) + room))


def _bound(axes: Axes, found: Complexity) -> None:
    """The purse pays the cheapest questions first: one step up for each."""
    n = len(found.questions)
    tokens, accuracy, spent = [0.0], [0.0], 0.0
    for place, tau in enumerate(sorted(tau for tau in found.known if tau < float("inf")), 1):
        spent += tau
        tokens.append(spent / n)
        accuracy.append(place / n)
    end = axes.get_xlim()[1]
    tokens.append(max(end, tokens[-1]))
    accuracy.append(accuracy[-1])
    axes.step(tokens, accuracy, where="post", color=INK, linewidth=1.4, label="best accuracy at these tokens", zorder=3)
