"""The head of an encoder classifier: a softmax over three classes, fitted on vectors that stay as they are."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ponder.train.routers.minimise import Vector, minimise
from ponder.train.routers.table import Indices, Numbers
from ponder.weights.tensors import Array

CLASSES = 3
DECAYS = (0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
"""Penalties that are tried on a fifth of the rows, the strongest first."""
_WORSE = 1e-4
"""Nats of loss by which a penalty must be worse to end the search."""
Fit = Callable[[Indices, float, Vector], Vector]
"""Rows, a penalty and where to begin, to the parameters that fit."""


def best_fit(rows: int, start: Vector, fit: Fit, loss: Callable[[Vector, Indices], float], seed: int) -> Vector:
    """Return parameters that fit all rows, with the penalty whose fit on four fifths has the least loss on the rest.

    Penalties are tried until one is worse than the best before it; each fit begins where the one before ended.
    """
    order = np.random.default_rng(seed).permutation(rows)
    tested, learnt = order[: rows // 5], order[rows // 5 :]
    point, best, least = start, start, np.inf
    chosen = DECAYS[0]
    for decay in DECAYS:
        point = fit(learnt, decay, point)
        found = loss(point, tested)
        if found > least + _WORSE:
            break
        # Penalties that leave nothing but constants are all alike: what is weaker may still find more.
        if found < least:
            best, chosen, least = point, decay, found
    return fit(np.arange(rows), chosen, best)


def fit_head(vectors: Array, classes: Indices, seed: int) -> tuple[Numbers, Numbers]:
    """Return weights (width, 3) and bias (3); the penalty on the weights is chosen on a fifth of the rows."""
    width = vectors.shape[1]

    def fit(rows: Indices, decay: float, start: Vector) -> Vector:
        return softmax_fit(vectors[rows], classes[rows], decay, start)

    def loss(point: Vector, rows: Indices) -> float:
        shares = _shares(vectors[rows], *_parts(point, width))
        return float(-np.log(shares[np.arange(len(rows)), classes[rows]] + 1e-12).mean())

    return _parts(best_fit(len(vectors), np.zeros(CLASSES + width * CLASSES), fit, loss, seed), width)


def _parts(point: Vector, width: int) -> tuple[Numbers, Numbers]:
    return point[CLASSES:].reshape(width, CLASSES), point[:CLASSES]


def softmax_fit(vectors: Array, classes: Indices, decay: float, start: Vector) -> Vector:
    """Return bias and weights with the least mean cross-entropy plus `decay / 2` times the squared weights."""
    width = vectors.shape[1]
    truth = np.eye(CLASSES)[classes]

    def objective(point: Vector) -> tuple[float, Vector]:
        weights, bias = _parts(point, width)
        shares = _shares(vectors, weights, bias)
        error = (shares - truth) / len(vectors)
        loss = -np.log((shares * truth).sum(axis=1) + 1e-12).mean() + decay / 2 * float((weights**2).sum())
        slope = vectors.T @ error.astype(np.float32) + decay * weights
        return float(loss), np.concatenate([error.sum(axis=0), slope.ravel()])

    return minimise(objective, start)


def _shares(vectors: Array, weights: Numbers, bias: Numbers) -> Numbers:
    logits = vectors @ weights.astype(np.float32) + bias
    share: Numbers = np.exp(logits - logits.max(axis=1, keepdims=True))
    total: Numbers = share.sum(axis=1, keepdims=True)
    return share / total
