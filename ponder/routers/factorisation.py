"""Matrix factorisation: how well a choice fits a question, as a product of two vectors (2406.18665)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ponder.core.engine import Cap
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.routers.compared import win_rates
from ponder.routers.features import trained_on
from ponder.routers.state import State
from ponder.weights.tensors import Array


@dataclass(frozen=True)
class Factorisation:
    """The score of choice m is w · (v_m ⊙ (W q + b)), q being the question's vector and v_m of length 1.

    The logistic of the difference of two scores is the chance to win; the rating is that against another choice.
    """

    path: str
    """The folder that `ponder train router --kind factorisation` wrote."""
    encoder: str = ""
    """The encoder's folder; by default where it lay while training."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: no model of the run is asked."""
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Return what the factors make of each choice. Raises `DataError` for files that cannot be used."""
        return await asyncio.to_thread(self._rate, problem.question)

    def _rate(self, question: str) -> Mapping[str, float]:
        factors, embed = trained_on(self.path, "factorisation", Factors, self.encoder)
        return factors.rate(embed(question))


class Factors:
    """The factors: W is (width, rank), b and w are (rank), the choices' vectors (tiers, rank)."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._project = state.array("project", None, None)
        rank = self._project.shape[1]
        self._bias, self._last = state.array("bias", rank), state.array("last", rank)
        tiers = state.array("tiers", len(state.choices)).astype(np.intp)
        self._choices = state.array("models", None, rank)[tiers]

    def rate(self, vector: Array) -> dict[str, float]:
        """Return the rating of each choice for a question's vector."""
        inner = (vector @ self._project + self._bias) * self._last
        return win_rates(self.state.choices, self._choices @ inner)
