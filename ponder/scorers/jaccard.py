"""Jaccard degree: a reply is as good as its words are those of the other samples (2502.04428)."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run

_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")


@dataclass(frozen=True)
class Jaccard:
    """The mean, over the other replies, of shared words / words of either, in 0 to 1; a Han character is a word.

    Unlike agreement it needs no answer to compare, so it fits questions without one. A single reply scores 0, an empty
    one minus infinity.
    """

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing: it looks at text alone."""
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        """Nothing."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return the degree of each reply; no call is made."""
        words = [frozenset(map(str.casefold, _WORD.findall(call.answer))) for call in calls]
        return [Score(_degree(own, [*words[:place], *words[place + 1 :]])) for place, own in enumerate(words)]


def _degree(own: frozenset[str], others: Sequence[frozenset[str]]) -> float:
    if not own:
        return -math.inf
    return math.fsum(len(own & other) / len(own | other) for other in others) / max(1, len(others))
