"""Trains a probe on hidden states: a perceptron that tells right replies from wrong ones (2502.04428)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from ponder.core.errors import DataError
from ponder.scorers.probe import KIND, STEM, Perceptron
from ponder.weights.state import State, save_state
from ponder.weights.tensors import Array

Arrays = dict[str, Array]
Numbers = npt.NDArray[np.float64]
_FOLDS = 5


@dataclass(frozen=True, slots=True)
class Settings:
    """Epochs and rate are the paper's for a probe of the task itself; sizes are not in it."""

    epochs: int = 20
    rate: float = 5e-4
    hidden: int = 64
    batch: int = 8
    seed: int = 0


def fit(states: Array, right: Sequence[float], settings: Settings) -> Arrays:
    """Return the weights that `Perceptron` reads, from states (n, width) and 0 to 1 for each; Adam on cross-entropy.

    Raises `DataError` where all replies are right, or none is.
    """
    truth = np.array(right, np.float64)
    if not 0 < truth.sum() < len(truth):
        which = "right" if truth.sum() else "wrong"
        raise DataError(f"all {len(truth)} replies are {which}: there is nothing to learn; choose other questions")
    mean, scale = states.mean(axis=0), states.std(axis=0)
    # A number that never changes says nothing, and must not be divided by.
    scale = np.where(scale > 1e-6, scale, 1).astype(np.float32)
    seen = ((states - mean) / scale).astype(np.float64)
    dice = np.random.default_rng(settings.seed)
    width = states.shape[1]
    point = [
        dice.normal(0, np.sqrt(2 / width), (width, settings.hidden)),
        np.zeros(settings.hidden),
        dice.normal(0, np.sqrt(1 / settings.hidden), settings.hidden),
        np.zeros(1),
    ]
    adam = _Adam(point, settings.rate)
    for _ in range(settings.epochs):
        for rows in _batches(len(truth), settings.batch, dice):
            adam.step(_slopes(point, seen[rows], truth[rows]))
    named = dict(zip(("inner", "inner_bias", "outer", "outer_bias"), point, strict=True))
    return {name: np.asarray(value, np.float32) for name, value in {"mean": mean, "scale": scale, **named}.items()}


def out_of_fold(states: Array, right: Sequence[int], groups: Sequence[str], settings: Settings) -> list[float]:
    """Return what probes that never saw a reply's group say of it. A fold with one class only is rated 0.5."""
    found, marks = np.full(len(right), 0.5), np.array(right)
    names = np.array(groups)
    for name in dict.fromkeys(groups):
        held = names == name
        if len(set(marks[~held].tolist())) == 2:
            found[held] = probe_of(fit(states[~held], marks[~held].tolist(), settings)).rate(states[held])
    return cast("list[float]", found.tolist())


def folds(count: int, seed: int) -> list[str]:
    """Return a fold for each of `count` replies, as groups for `out_of_fold`."""
    order = np.random.default_rng(seed).permutation(count)
    return [str(place % _FOLDS) for place in np.argsort(order)]


def probe_of(arrays: Mapping[str, Array]) -> Perceptron:
    """Return a probe of weights that are in no file."""
    return Perceptron(State(Path(), (), {"layer": 0}, arrays, STEM))


def save_probe(folder: Path, arrays: Mapping[str, Array], layer: int, facts: Mapping[str, object]) -> None:
    """Write the folder that the scorer reads. Raises `DataError` where it is not empty or cannot be written."""
    save_state(folder, STEM, {STEM: KIND, "layer": layer, **facts}, arrays)


def _batches(count: int, size: int, dice: np.random.Generator) -> Iterator[npt.NDArray[np.intp]]:
    order = dice.permutation(count)
    yield from (order[start : start + size] for start in range(0, count, size))


def _slopes(point: Sequence[Numbers], seen: Numbers, truth: Numbers) -> list[Numbers]:
    """Return the slopes of the mean cross-entropy at `point`: inner, inner bias, outer, outer bias."""
    inner, inner_bias, outer, outer_bias = point
    before = seen @ inner + inner_bias
    active = np.maximum(before, 0)
    error = ((1 + np.tanh((active @ outer + outer_bias) / 2)) / 2 - truth) / len(truth)
    back = np.outer(error, outer) * (before > 0)
    return [seen.T @ back, back.sum(axis=0), active.T @ error, error.sum(keepdims=True)]


class _Adam:
    """Adam's steps on arrays that it changes in place."""

    def __init__(self, point: Sequence[Numbers], rate: float) -> None:
        self._point, self._rate, self._steps = point, rate, 0
        self._first = [np.zeros_like(one) for one in point]
        self._second = [np.zeros_like(one) for one in point]

    def step(self, slopes: Sequence[Numbers]) -> None:
        """Take one step down."""
        self._steps += 1
        for one, slope, first, second in zip(self._point, slopes, self._first, self._second, strict=True):
            first += 0.1 * (slope - first)
            second += 0.001 * (slope**2 - second)
            mean, square = first / (1 - 0.9**self._steps), second / (1 - 0.999**self._steps)
            one -= self._rate * mean / (np.sqrt(square) + 1e-8)
