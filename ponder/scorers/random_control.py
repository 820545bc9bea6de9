"""Random scores: the control that every study of a scorer needs, since whoever picks at random must not look good."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.core.seeds import derive_seed


@dataclass(frozen=True)
class RandomControl:
    """A number in 0 to 1 that knows nothing of the reply: it comes from the seed of the reply's call, which the run's
    seed and the branch decide. Equal runs have equal scores.
    """

    salt: int = 0
    """Another number gives other scores to the same replies."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing."""
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        """Nothing."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return a number for each reply; no call is made."""
        return [Score(derive_seed(call.seed, call.branch, self.salt, "random score") / 2**31) for call in calls]
