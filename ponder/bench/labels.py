"""Write names beside points so that they cover neither each other nor the points; greedy, over a ring of places."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from ponder.bench.metrics import Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_RADII = (9.0, 15.0, 24.0, 36.0, 50.0)
_DIRECTIONS = 16
_LEADER = 20.0
"""From this distance on, a thin line leads from the point to its name."""


class Box(NamedTuple):
    """A rectangle in pixels."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: Box) -> float:
        """Return the common area."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, width) * max(0.0, height)

    @property
    def area(self) -> float:
        """Width times height."""
        return (self.right - self.left) * (self.top - self.bottom)


class Place(NamedTuple):
    """Where a name goes: its box, and how far it is from its point."""

    box: Box
    radius: float


def place(figure: Figure, axes: Axes, points: Sequence[Point], names: Sequence[tuple[str, str]]) -> None:
    """Write each (name, colour) near its point, off what is drawn already. Lays the figure out, to know the sizes."""
    figure.draw_without_rendering()  # the layout must be final before pixels count
    scale = figure.dpi / 72
    frame = axes.get_window_extent()
    inside = Box(frame.x0, frame.y0, frame.x1, frame.y1)
    pixels = [tuple(axes.transData.transform((point.tokens, point.accuracy))) for point in points]
    marks = [Box(x - 5 * scale, y - 5 * scale, x + 5 * scale, y + 5 * scale) for x, y in pixels]
    marks += [box for box in _lines(axes, scale) if box.overlap(inside)]
    taken: list[Box] = []
    for point, (x, y), (name, colour) in zip(points, pixels, names, strict=True):
        text = axes.text(0, 0, name, fontsize=9.5)
        size = text.get_window_extent()
        text.remove()
        found = choose(x, y, size.width, size.height, scale, inside, marks, taken)
        taken.append(found.box)
        middle_x, middle_y = (found.box.left + found.box.right) / 2, (found.box.bottom + found.box.top) / 2
        line = {"arrowstyle": "-", "color": colour, "linewidth": 0.7, "alpha": 0.7, "shrinkA": 1, "shrinkB": 3}
        axes.annotate(
            name,
            point,
            # Points of type, not pixels: the file is written in another resolution.
            xytext=((middle_x - x) / scale, (middle_y - y) / scale),
            textcoords="offset points",
            ha="center",
            va="center",
            fontsize=9.5,
            arrowprops=line if found.radius >= _LEADER else None,
            annotation_clip=False,
            zorder=6,
        )


def choose(
    x: float,
    y: float,
    width: float,
    height: float,
    scale: float,
    inside: Box,
    marks: Sequence[Box],
    taken: Sequence[Box],
) -> Place:
    """Return the place with the least trouble: names covered, then points and lines covered, then distance."""
    best, least = None, math.inf
    for radius in _RADII:
        for step in range(_DIRECTIONS):
            angle = 2 * math.pi * (step + 1) / _DIRECTIONS
            box = _beside(x, y, angle, radius * scale, width, height)
            covered = 3 * sum(box.overlap(other) for other in taken) + 2 * sum(box.overlap(mark) for mark in marks)
            outside = 4 * (box.area - box.overlap(inside))
            trouble = covered + outside + 0.04 * box.area * radius / _RADII[0]
            if trouble < least:
                best, least = Place(box, radius), trouble
    assert best is not None
    return best


def _beside(x: float, y: float, angle: float, distance: float, width: float, height: float) -> Box:
    """The box that touches the circle around the point from outside, in this direction."""
    towards, up = math.cos(angle), math.sin(angle)
    middle_x = x + distance * towards + width / 2 * max(-1.0, min(1.0, 1.6 * towards))
    middle_y = y + distance * up + height / 2 * max(-1.0, min(1.0, 1.6 * up))
    return Box(middle_x - width / 2, middle_y - height / 2, middle_x + width / 2, middle_y + height / 2)


def _lines(axes: Axes, scale: float) -> list[Box]:
    """Every line of the plot as a chain of small boxes."""
    reach, length = 1.5 * scale, 14 * scale
    found: list[Box] = []
    for line in axes.get_lines():
        corners = axes.transData.transform(line.get_path().vertices).tolist()
        for (x1, y1), (x2, y2) in pairwise(corners):
            pieces = math.ceil(math.hypot(x2 - x1, y2 - y1) / length) or 1
            dx, dy = (x2 - x1) / pieces, (y2 - y1) / pieces
            for i in range(pieces):
                (left, right), (low, high) = (sorted((c + i * d, c + (i + 1) * d)) for c, d in ((x1, dx), (y1, dy)))
                found.append(Box(left - reach, low - reach, right + reach, high + reach))
    return found
