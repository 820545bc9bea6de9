"""Similarity-weighted ranking: the choices' records on known questions, those most alike counting most (2406.18665)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt

from ponder.core.engine import Cap
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.routers.compared import bradley_terry, win_rates
from ponder.routers.features import trained_on
from ponder.routers.state import State
from ponder.weights.tensors import Array

GAMMA = 10.0
"""The paper's: the most alike question counts ten times as much as one without likeness."""


@dataclass(frozen=True)
class Ranking:
    """Nothing is fitted: each known question has the weight 10^(1 + s / max s), s being its cosine with the one asked.

    Of outcomes the rating is the weighted share of successes; with two choices that is Bradley and Terry's maximum.
    Of preferences the abilities of the tiers are found anew for each question.
    """

    path: str
    """The folder that `ponder train router --kind ranking` wrote."""
    encoder: str = ""
    """The encoder's folder; by default where it lay while training."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: no model of the run is asked."""
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Return the weighted record of each choice. Raises `DataError` for files that cannot be used."""
        return await asyncio.to_thread(self._rate, problem.question)

    def _rate(self, question: str) -> Mapping[str, float]:
        known, embed = trained_on(self.path, "ranking", Known, self.encoder)
        return known.rate(embed(question))


def weights(similarities: Array) -> Array:
    """Return the weight of each known question from its cosine with the one asked."""
    most = float(similarities.max(initial=0.0))
    return cast(Array, np.power(np.float32(GAMMA), 1 + similarities / most if most > 0 else np.ones_like(similarities)))


class Known:
    """Known questions: their vectors (n, width), and who succeeded (n, choices) or which tier beat which (n)."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._vectors = state.array("vectors", None, None)
        count = len(self._vectors)
        self._success = state.array("success", count, len(state.choices)) if "success" in state.arrays else None
        if self._success is None:
            first, second = (state.array(name, count).astype(np.intp) for name in ("first", "second"))
            self._won = state.array("won", count)
            self._tiers = state.array("tiers", len(state.choices)).astype(np.intp)
            self._size = int(max(first.max(), second.max(), self._tiers.max())) + 1
            self._pairs = first * self._size + second

    def rate(self, vector: Array) -> dict[str, float]:
        """Return the rating of each choice for a question's vector."""
        weight = weights(self._vectors @ vector)
        if self._success is None:
            return win_rates(self.state.choices, bradley_terry(self._wins(weight))[self._tiers])
        shares = weight @ self._success / weight.sum()
        return dict(zip(self.state.choices, map(float, shares), strict=True))

    def rate_all(self, vectors: Array) -> list[dict[str, float]]:
        """Return the ratings of several questions; of outcomes all at once, for a study asks thousands."""
        if self._success is None:
            return [self.rate(vector) for vector in vectors]
        similarities = vectors @ self._vectors.T
        shares = [(w := weights(row)) @ self._success / w.sum() for row in similarities]
        return [dict(zip(self.state.choices, map(float, share), strict=True)) for share in shares]

    def _wins(self, weight: Array) -> npt.NDArray[np.float64]:
        cells = self._size**2
        won = np.bincount(self._pairs, weight * self._won, cells).reshape(self._size, -1)
        lost = np.bincount(self._pairs, weight * (1 - self._won), cells).reshape(self._size, -1)
        return cast("npt.NDArray[np.float64]", won + lost.T)
