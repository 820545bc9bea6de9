"""Constant ratings: the control that sends every question the same way, whatever it asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.problem import Problem
from ponder.core.run import Run


@dataclass(frozen=True)
class ConstantRouter:
    """Every choice has the same rating for every question: as it comes, the last and dearest one always succeeds and
    the others never do, so nothing is saved and nothing is lost.
    """

    choices: tuple[str, ...] = ("weak", "strong")
    """What is rated, the cheapest first."""
    ratings: tuple[float, ...] = (0.0, 1.0)
    """The expected success of each choice, in 0 to 1."""

    def __post_init__(self) -> None:
        named = len(set(self.choices)) == len(self.choices) >= 2
        require(named, self, "choices", self.choices, "at least two different names")
        fits = len(self.ratings) == len(self.choices) and all(0 <= rating <= 1 for rating in self.ratings)
        require(fits, self, "ratings", self.ratings, f"{len(self.choices)} numbers in 0 to 1, one for each choice")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: no model is asked."""
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Return the ratings, whatever is asked."""
        return dict(zip(self.choices, self.ratings, strict=True))
