"""A linear model over a question's words and shape: the smallest router that learns, served without torch."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from math import exp
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast, get_args

from ponder.core.engine import Cap
from ponder.core.errors import DataError
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.text.ngrams import BUCKETS, hashed, known_words

if TYPE_CHECKING:
    from ponder.routers.state import State

SHIPPED = Path(__file__).parent / "shipped"
"""Folders that ship with ponder, by name: `paradigm` is the classifier of sketch-of-thought."""

Link = Literal["softmax", "sigmoid"]
"""Whether one of the choices suits, or each succeeds or fails by itself."""


@dataclass(frozen=True, slots=True)
class Weights:
    """Row i, column b weighs bucket b for choice i."""

    choices: tuple[str, ...]
    link: Link
    rows: tuple[tuple[float, ...], ...]

    @classmethod
    def of(cls, state: State) -> Weights:
        """Return the weights of a trained router. Raises `DataError` for those of other features."""
        link = state.text("link")
        if link not in get_args(Link):
            raise DataError(f"{state.folder}: link = {link!r} must be one of {', '.join(get_args(Link))}")
        rows = cast("list[list[float]]", state.array("weight", len(state.choices), BUCKETS).tolist())
        return cls(state.choices, cast(Link, link), tuple(map(tuple, rows)))

    def rate(self, question: str) -> dict[str, float]:
        """Return the probability of each choice; a question that asks nothing is rated by its shape."""
        features = hashed(question, known_words(question))
        sums = [sum(row[bucket] * value for bucket, value in features.items()) for row in self.rows]
        if self.link == "sigmoid":
            shares = [1 / (1 + exp(-max(-700.0, value))) for value in sums]
        else:
            raised = [exp(value - max(sums)) for value in sums]
            shares = [value / sum(raised) for value in raised]
        return dict(zip(self.choices, shares, strict=True))


@dataclass(frozen=True)
class WordsRouter:
    """Rates the choices that its file was trained on, in well under a millisecond.

    A question in Latin letters is judged by its words and its shape, another one by its shape alone: how long it is,
    its numbers, units and symbols.
    """

    path: str = "paradigm"
    """The folder of the weights; `paradigm` ships with ponder and rates the styles of sketch-of-thought."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: no model is asked."""
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Return the probabilities. Raises `DataError` for weights that cannot be used."""
        return await asyncio.to_thread(self._rate, problem.question)

    def _rate(self, question: str) -> Mapping[str, float]:
        from ponder.routers.state import trained

        shipped = SHIPPED / self.path
        known = shipped.is_dir() and self.path not in ("", ".")
        return trained(str(shipped) if known else self.path, "words", Weights.of).rate(question)
