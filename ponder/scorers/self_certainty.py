"""Self-certainty: a reply is as good as its model's distributions were far from uniform ones (2502.18581)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run


@dataclass(frozen=True)
class MeanCertainty:
    """The mean of KL(U || p) over the tokens of a reply, in nats; at least 0, and comparable within one model alone.

    A reply without tokens has none, and scores minus infinity.
    """

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """The distribution over the whole vocabulary."""
        return {"main": frozenset({Cap.FULL_LOGPROBS})}

    def asks(self) -> SamplingArgs:
        """The certainty of each token."""
        return {"certainty": True}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return the mean of each reply; no call is made."""
        return [
            Score(_mean([token.certainty for token in call.logprobs if token.certainty is not None])) for call in calls
        ]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values) if values else -math.inf
