"""Category: what each choice achieved on known questions of the same category, for questions whose text is unknown."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.routers.state import State, trained


@dataclass(frozen=True)
class CategoryRouter:
    """The share of successes in the problem's category, drawn to the overall share where the category is small.

    The category stands in the problem's `meta`; one that training did not see is rated with the overall share.
    """

    path: str
    """The folder that `ponder train router --kind category` wrote."""
    field: str = ""
    """Which entry of `meta` names the category; by default the column that it was trained on."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: no model is asked."""
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Return the record of each choice. Raises `DataError` for files that cannot be used."""
        shares = await asyncio.to_thread(trained, self.path, "category", Shares)
        return shares.rate(problem.meta.get(self.field or shares.field, ""))


class Shares:
    """Shares of successes: by category (categories, choices), and overall (choices)."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.field = state.text("field")
        names = state.names("categories")
        self._rows = dict(zip(names, state.array("shares", len(names), len(state.choices)), strict=True))
        self._overall = state.array("overall", len(state.choices))

    def rate(self, category: str) -> dict[str, float]:
        """Return the rating of each choice for a category."""
        return dict(zip(self.state.choices, map(float, self._rows.get(category, self._overall)), strict=True))
