"""Agreement: a reply is as good as many of the other samples state its answer (2203.11171)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.text.votes import classes


@dataclass(frozen=True)
class Agreement:
    """The share of the other replies that state the same answer, in 0 to 1, as the task reads and compares answers.

    A reply that states none scores minus infinity, a single reply 0: nobody agrees with it.
    """

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: it looks at text alone."""
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        """Nothing."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return the share of each reply; no call is made."""
        values = [-math.inf] * len(calls)
        others = max(1, len(calls) - 1)
        for members in classes([run.extract(call.answer) for call in calls], run.same):
            for index in members:
                values[index] = (len(members) - 1) / others
        return [Score(value) for value in values]
