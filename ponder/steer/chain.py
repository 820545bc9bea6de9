"""A reply's course through the layers of its model in one number a token, and a vote for the most ordinary course.

The course is that of 2503.01422: how far and how sharply the mean state of the tokens so far moves from layer to layer,
beside how far and how sharply it moves from the first layer to the last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

_CLAMP = 1 - 1e-7
"""The largest cosine: the angle between equal directions is that of single precision, and nothing is divided by 0."""
_LEAST = 1e-12
"""The least length that is divided by."""


def course(blocks: Sequence[memoryview], first: int, last: int) -> list[float]:
    """Return the feature F at each of the tokens `first` to `last`, counted from 1; after the end it stays as it is.

    `blocks` are the states of a reply in order, each of shape (tokens, layers, size), all layers from 0 on, as
    `Call.hidden` has them. F = mean over l of |h_l - h_l+1| / |h_0 - h_L| - angle(h_l, h_l+1) / angle(h_0, h_L), where
    h_l is the mean of layer l over the tokens so far. Empty where there are no states.
    """
    if not blocks:
        return []
    import numpy as np

    states = np.concatenate([np.asarray(block, dtype=np.float64) for block in blocks])[:last]
    counts = np.arange(1, len(states) + 1)[:, None, None]
    means = (states.cumsum(axis=0) / counts)[min(first, len(states)) - 1 :]
    values = _features(means).tolist()
    return [float(values[min(place, len(values) - 1)]) for place in range(last - first + 1)]


def _features(means: Floats) -> Floats:
    """Return F for each row of (positions, layers, size)."""
    import numpy as np

    def length(of: Floats) -> Floats:
        found: Floats = np.maximum(np.linalg.norm(of, axis=-1), _LEAST)
        return found

    def angle(a: Floats, b: Floats) -> Floats:
        cosine = (a * b).sum(axis=-1) / (length(a) * length(b))
        found: Floats = np.arccos(np.clip(cosine, -_CLAMP, _CLAMP))
        return found

    here, there, start, end = means[:, :-1], means[:, 1:], means[:, 0], means[:, -1]
    far = length(there - here) / length(end - start)[:, None]
    sharp = angle(here, there) / angle(start, end)[:, None]
    mean: Floats = (far - sharp).mean(axis=-1)
    return mean


def spread(features: Sequence[float]) -> list[float]:
    """Return for each reply the mean squared distance of its feature to the others'; 0 for a single one."""
    others = max(1, len(features) - 1)
    return [sum((one - other) ** 2 for other in features) / others for one in features]


def most_ordinary(courses: Sequence[Sequence[float]]) -> tuple[int, int]:
    """Return (winner, its votes): at each token the reply closest to the others has a vote; ties go to the first.

    `courses` are the features of each reply at the same tokens. A reply without any cannot win, unless none has any.
    """
    able = [index for index, found in enumerate(courses) if found]
    if not able:
        return 0, 0
    ballots = [0] * len(courses)
    for features in zip(*(courses[index] for index in able), strict=True):
        apart = spread(features)
        ballots[able[apart.index(min(apart))]] += 1
    winner = ballots.index(max(ballots))
    return winner, ballots[winner]
