"""Probe: a small network reads off a model's own states whether its reply is right (2502.04428)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.errors import DataError
from ponder.core.files import Files
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.weights.state import State, load_state
from ponder.weights.tensors import Array

STEM, KIND = "probe", "perceptron"


class Perceptron:
    """One hidden layer: inner (width, h) and outer (h) weights with their biases, on standardised states."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.layer = int(state.number("layer", -math.inf))
        self._inner = state.array("inner", None, None)
        self.width, hidden = self._inner.shape
        self._mean, self._scale = state.array("mean", self.width), state.array("scale", self.width)
        self._inner_bias, self._outer = state.array("inner_bias", hidden), state.array("outer", hidden)
        self._outer_bias = float(state.array("outer_bias", 1)[0])

    def rate(self, states: Array) -> Array:
        """Return the probability that a reply is right, of states (n, width)."""
        inner = np.maximum((states - self._mean) / self._scale @ self._inner + self._inner_bias, 0)
        return cast(Array, (1 + np.tanh((inner @ self._outer + self._outer_bias) / 2)) / 2)


PROBES = Files(lambda folder: Perceptron(load_state(folder, STEM, KIND)))


@dataclass(frozen=True)
class Probe:
    """The probability that the reply is right, in 0 to 1, from the state that its last token was drawn from.

    It knows the model that it was trained on and no other. A reply without tokens scores minus infinity.
    """

    path: str
    """The folder that `ponder train probe` wrote; it is read again once it changes."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Hidden states of the replies."""
        return {"main": frozenset({Cap.HIDDEN})}

    def asks(self) -> SamplingArgs:
        """The states of the layer that the probe was trained on. Raises `DataError` for files that cannot be used."""
        return {"hidden": (self._probe().layer,)}

    def read_files(self) -> None:
        """Read the probe. Raises `DataError` for files that cannot be used."""
        self._probe()

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return a probability for each reply; no call is made. Raises `DataError` for states of another width."""
        probe = self._probe()
        return [Score(self._score(probe, call)) for call in calls]

    def _score(self, probe: Perceptron, call: Call) -> float:
        state = last_state(call, probe.layer)
        if state is None:
            return -math.inf
        if len(state) != probe.width:
            raise DataError(
                f"{probe.state.toml} was trained on states of {probe.width} numbers, those of {call.engine} have "
                f"{len(state)}; train one on this model"
            )
        return float(probe.rate(state[None])[0])

    def _probe(self) -> Perceptron:
        return PROBES.read(Path(self.path).expanduser().resolve())


def last_state(call: Call, layer: int) -> Array | None:
    """Return the state (width) that a reply's last token was drawn from; None for a reply that has none.

    Where a method inside asked for every layer, `layer` is picked out of them.
    """
    if not call.hidden:
        return None
    block = np.asarray(call.hidden[-1], np.float32)
    return cast(Array, block[-1, layer if block.shape[1] > 1 else 0])
