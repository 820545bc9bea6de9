"""Random ratings: the control that every study of a router needs, since whoever routes at random must not look good."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.core.seeds import derive_seed


@dataclass(frozen=True)
class RandomRouter:
    """Numbers in 0 to 1 that come from the question's text, and know nothing of how hard it is.

    Of two choices the second is rated u and the first 1 - u, with u spread evenly: at a threshold of 0.7 three in ten
    questions go to the second. The same question always goes the same way.
    """

    choices: tuple[str, ...] = ("weak", "strong")
    """What is rated, the cheapest first."""
    salt: int = 0
    """Another number gives other ratings to the same questions."""

    def __post_init__(self) -> None:
        named = len(set(self.choices)) == len(self.choices) >= 2
        require(named, self, "choices", self.choices, "at least two different names")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: no model is asked."""
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Return a number for each choice; no call is made."""
        ratings = {
            name: derive_seed(self.salt, (), index, f"random rating/{problem.question}") / 2**31
            for index, name in enumerate(self.choices)
        }
        ratings[self.choices[0]] = 1 - ratings[self.choices[-1]]
        return ratings
