"""Says which sampling fields of a request a method had to set otherwise, such as the temperature of greedy samples."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from ponder.core.engine import Cap, Chunk, Engine, Sampling, SamplingArgs, Think
from ponder.core.problem import Prompt


def drawn_by(sampling: Sampling) -> Mapping[str, object]:
    """Return what says how tokens are drawn, by the name that requests give it.

    Limits, seeds, stop strings and log-probabilities are not among it: each call has its own share of those.
    """
    return {
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "top_k": sampling.top_k,
        "min_p": sampling.min_p,
        "logit_bias": sampling.logit_bias,
    }


class Compared:
    """An engine that notes, for each call, the given fields that the call does not keep to."""

    def __init__(self, engine: Engine, given: SamplingArgs, noted: set[str]) -> None:
        self._engine, self._noted = engine, noted
        self._given = {name: value for name, value in given.items() if name in drawn_by(Sampling())}

    @property
    def name(self) -> str:
        """The inner engine's name."""
        return self._engine.name

    @property
    def caps(self) -> frozenset[Cap]:
        """What the inner engine can do."""
        return self._engine.caps

    @property
    def think(self) -> Think:
        """The inner engine's think marks."""
        return self._engine.think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Open a generation."""
        drawn = drawn_by(sampling)
        self._noted.update(name for name, value in self._given.items() if drawn[name] != value)
        async with self._engine.stream(prompt, sampling) as chunks:
            yield chunks
