"""Mean log-probability: a reply is as good as its model found its tokens likely, whatever its length."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run


@dataclass(frozen=True)
class MeanLogprob:
    """Natural logarithms, of the model's own distribution (temperature 1); at most 0. A reply without tokens has none,
    and scores minus infinity.
    """

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Log-probabilities of the sampled tokens."""
        return {"main": frozenset({Cap.LOGPROBS})}

    def asks(self) -> SamplingArgs:
        """The sampled token's own log-probability."""
        return {"logprobs": 1}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return the mean of each reply; no call is made."""
        return [Score(_mean([token.logprob for token in call.logprobs])) for call in calls]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else -math.inf
