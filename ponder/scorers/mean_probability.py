"""Mean probability: a reply is as good as its tokens were probable in the mean, each by itself (2502.04428)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run


@dataclass(frozen=True)
class MeanProbability:
    """In 0 to 1. Unlike the mean log-probability, one unlikely token among many weighs little.

    A reply without tokens scores minus infinity.
    """

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Log-probabilities of the sampled tokens."""
        return {"main": frozenset({Cap.LOGPROBS})}

    def asks(self) -> SamplingArgs:
        """The sampled token's own log-probability."""
        return {"logprobs": 1}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return the mean of each reply; no call is made."""
        return [Score(_mean([math.exp(token.logprob) for token in call.logprobs])) for call in calls]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else -math.inf
