"""L-BFGS: the minimum of a smooth function from its slopes, for fits small enough to see all data at each step."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]
Function = Callable[[Vector], tuple[float, Vector]]
"""A point to the value and the slope there."""
_MEMORY = 10
_SHRINK, _ENOUGH = 0.5, 1e-4
_TRIES = 30


def minimise(function: Function, start: Vector, steps: int = 200, close: float = 1e-5) -> Vector:
    """Return a point near `start` at which no slope is above `close`, or the best one after `steps` steps.

    Liu and Nocedal's two loops, with a search along each direction that only ever goes down (Armijo).
    """
    point = start.copy()
    value, slope = function(point)
    pairs: deque[tuple[Vector, Vector]] = deque(maxlen=_MEMORY)
    for _ in range(steps):
        if np.abs(slope).max(initial=0.0) <= close:
            break
        direction = -_turned(slope, pairs)
        fall = float(direction @ slope)
        if fall >= 0:
            pairs.clear()
            direction, fall = -slope, -float(slope @ slope)
        length = 1.0 if pairs else min(1.0, 1 / float(np.abs(slope).sum()))
        found = _search(function, point, value, direction, fall, length)
        if found is None:
            break
        moved, lower, other = found
        change, bend = moved - point, other - slope
        if float(change @ bend) > 1e-12:
            pairs.append((change, bend))
        point, value, slope = moved, lower, other
    return point


def _search(
    function: Function, point: Vector, value: float, direction: Vector, fall: float, length: float
) -> tuple[Vector, float, Vector] | None:
    """Return the first point along `direction` that lies enough lower; None where rounding hides any."""
    for _ in range(_TRIES):
        moved = point + length * direction
        lower, slope = function(moved)
        if lower <= value + _ENOUGH * length * fall:
            return moved, lower, slope
        length *= _SHRINK
    return None


def _turned(slope: Vector, pairs: deque[tuple[Vector, Vector]]) -> Vector:
    """Return the slope times what the last steps tell of the inverse curvature."""
    turned, shares = slope.copy(), []
    for change, bend in reversed(pairs):
        share = float(change @ turned) / float(change @ bend)
        turned -= share * bend
        shares.append(share)
    if pairs:
        change, bend = pairs[-1]
        turned *= float(change @ bend) / float(bend @ bend)
    for (change, bend), share in zip(pairs, reversed(shares), strict=True):
        turned += (share - float(bend @ turned) / float(change @ bend)) * change
    return turned
