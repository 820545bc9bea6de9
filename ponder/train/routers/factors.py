"""The factors of a matrix factorisation, fitted to who won against whom (2406.18665)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ponder.routers.compared import logistic
from ponder.train.routers.head import best_fit
from ponder.train.routers.minimise import Vector, minimise
from ponder.train.routers.table import Battles, Indices, Numbers
from ponder.weights.tensors import Array

_STEPS = 100


@dataclass(frozen=True, slots=True)
class _Shape:
    """Where the parameters lie in one vector: W (width, rank), b (rank), w (rank), models (models, rank)."""

    width: int
    rank: int
    models: int

    def parts(self, point: Vector) -> tuple[Numbers, Numbers, Numbers, Numbers]:
        """Return W, b, w and the models' vectors, whatever their lengths."""
        sizes = np.cumsum([self.width * self.rank, self.rank, self.rank])
        project, bias, last, models = np.split(point, sizes)
        return project.reshape(self.width, self.rank), bias, last, models.reshape(self.models, self.rank)

    def start(self, seed: int) -> Vector:
        """Return where the fit begins: the models at random, W at zero, so that what no row tells of adds no noise."""
        models = np.random.default_rng(seed).normal(0, 1, self.models * self.rank)
        nothing = np.zeros((self.width + 1) * self.rank)
        return np.concatenate([nothing, np.ones(self.rank), models])


def fit_factors(battles: Battles, vectors: Array, rank: int, seed: int) -> dict[str, Numbers]:
    """Return `project`, `bias`, `last` and `models`, the last of length 1 each; `vectors` is (comparisons, width).

    Cross-entropy of who won, a tie being half a win, plus a penalty that is chosen on a fifth of the rows.
    """
    shape = _Shape(vectors.shape[1], rank, len(battles.models))

    start = shape.start(seed)

    def fit(rows: Indices, decay: float, _: Vector) -> Vector:
        # Always from the same start: a strong penalty may have ended at W = w = 0, where nothing has a slope.
        part, seen = battles.rows(rows), vectors[rows]
        return minimise(lambda point: _objective(point, shape, part, seen, decay), start, _STEPS, 1e-4)

    def loss(point: Vector, rows: Indices) -> float:
        return _objective(point, shape, battles.rows(rows), vectors[rows], 0.0)[0]

    project, bias, last, models = shape.parts(best_fit(len(vectors), start, fit, loss, seed))
    return {"project": project, "bias": bias, "last": last, "models": models / _lengths(models)}


def _lengths(models: Numbers) -> Numbers:
    lengths: Numbers = np.maximum(np.linalg.norm(models, axis=1, keepdims=True), 1e-12)
    return lengths


def _objective(point: Vector, shape: _Shape, battles: Battles, vectors: Array, decay: float) -> tuple[float, Vector]:
    """Return the penalised loss and its slope."""
    project, bias, last, raw = shape.parts(point)
    lengths = _lengths(raw)
    models = raw / lengths
    hidden = vectors @ project.astype(np.float32) + bias
    inner = hidden * last
    apart = models[battles.first] - models[battles.second]
    scores = (inner * apart).sum(axis=1)
    loss = float((np.logaddexp(0, scores) - battles.won * scores).mean())
    error = ((logistic(scores) - battles.won) / len(scores))[:, None]
    d_hidden = error * apart * last
    pulls, d_models = error * inner, np.zeros_like(models)
    np.add.at(d_models, battles.first, pulls)
    np.add.at(d_models, battles.second, -pulls)
    slopes = (
        vectors.T @ d_hidden.astype(np.float32) + decay * project,
        d_hidden.sum(axis=0),
        (error * apart * hidden).sum(axis=0) + decay * last,
        # What would make a model's vector longer changes nothing: its length is 1.
        (d_models - (d_models * models).sum(axis=1, keepdims=True) * models) / lengths,
    )
    penalty = decay / 2 * (float((project**2).sum()) + float((last**2).sum()))
    return loss + penalty, np.concatenate([slope.ravel() for slope in slopes])
