"""Encoder classifier: will the strong choice win, tie or lose, read off a question's vector (2406.18665)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ponder.core.engine import Cap
from ponder.core.errors import DataError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.routers.features import trained_on
from ponder.routers.state import TOML, State
from ponder.weights.tensors import Array

CLASSES = ("strong wins", "tie", "weak wins")


@dataclass(frozen=True)
class EncoderClassifier:
    """A softmax over three classes, for two choices. The encoder stays as it is; its head is what training fits."""

    path: str
    """The folder that `ponder train router --kind encoder` wrote."""
    encoder: str = ""
    """The encoder's folder; by default where it lay while training."""
    ties: Literal["half", "weak"] = "half"
    """Whom a tie counts for: half for each, or the weak choice alone, as in the paper's code."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: no model of the run is asked."""
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Return both choices' chances to win. Raises `DataError` for files that cannot be used."""
        return await asyncio.to_thread(self._rate, problem.question)

    def _rate(self, question: str) -> Mapping[str, float]:
        head, embed = trained_on(self.path, "encoder", Head, self.encoder)
        return head.rate(embed(question), self.ties)


class Head:
    """The head: weights (width, 3) and bias (3), for the classes in the order of `CLASSES`."""

    def __init__(self, state: State) -> None:
        self.state = state
        if len(state.choices) != 2:
            raise DataError(
                f"{state.folder / TOML}: choices = {list(state.choices)} must be two; train the router again"
            )
        self._weights, self._bias = state.array("weights", None, len(CLASSES)), state.array("bias", len(CLASSES))

    def rate(self, vector: Array, ties: Literal["half", "weak"] = "half") -> dict[str, float]:
        """Return the rating of both choices for a question's vector."""
        logits = vector @ self._weights + self._bias
        share = np.exp(logits - logits.max())
        wins, tie, _ = map(float, share / share.sum())
        strong = wins + (tie / 2 if ties == "half" else 0.0)
        weak, dear = self.state.choices
        return {weak: 1 - strong, dear: strong}
