"""Confidence tokens: a model that was trained to end its replies with a mark says by it how sure it is (2410.13284)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ponder.core.engine import Cap, Logprob, SamplingArgs
from ponder.core.errors import require
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.text.confidence import MARKS

RIVALS = 20
"""How many likely tokens are looked at; most servers give no more."""


@dataclass(frozen=True)
class ConfidenceToken:
    """p(confident) / (p(confident) + p(unconfident)) at the mark, in 0 to 1; minus infinity without one at the end."""

    confident: str = MARKS[0]
    """The mark of a reply that the model holds to be right."""
    unconfident: str = MARKS[1]
    """The mark of one that it holds to be wrong."""

    def __post_init__(self) -> None:
        for name, mark, other in (
            ("confident", self.confident, self.unconfident),
            ("unconfident", self.unconfident, self.confident),
        ):
            require(mark != "" and not other.startswith(mark), self, name, mark, "text that does not begin the other")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Log-probabilities of the mark and of its rivals."""
        return {"main": frozenset({Cap.LOGPROBS})}

    def asks(self) -> SamplingArgs:
        """The likeliest rivals of each token."""
        return {"logprobs": RIVALS}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return the share of each reply; no call is made."""
        marks = (self.confident, self.unconfident)
        ended = [call.answer.rstrip().endswith(marks) for call in calls]
        found = [confident(call.logprobs, marks) if end else None for call, end in zip(calls, ended, strict=True)]
        return [Score(-math.inf if share is None else share) for share in found]


def confident(logprobs: Sequence[Logprob], marks: tuple[str, str] = MARKS) -> float | None:
    """Return p(confident) / (p(confident) + p(unconfident)) where the last mark of a reply is decided.

    That is the token with the first character in which the marks differ: a mark may be one token or several. None
    where the reply bears no mark.
    """
    text = "".join(token.token for token in logprobs)
    start = max(text.rfind(mark) for mark in marks)
    if start < 0:
        return None
    place = start + next(i for i, pair in enumerate(zip(*marks, strict=False)) if len(set(pair)) > 1)
    behind = 0
    for token in logprobs:
        before, behind = behind, behind + len(token.token)
        if behind > place:
            return _normalised(token, text[before:place], [mark[place - start :] for mark in marks])
    return None


def _normalised(token: Logprob, shared: str, ends: Sequence[str]) -> float:
    """Return the first share of two; a rival counts for the mark whose end it begins, or begins with."""
    shares = dict((*token.top, (token.token, token.logprob)))
    sums = [0.0, 0.0]
    for rival, logprob in shares.items():
        rest = rival.removeprefix(shared)
        for side, end in enumerate(ends):
            if rest and len(rest) + len(shared) == len(rival) and (end.startswith(rest) or rest.startswith(end)):
                sums[side] += math.exp(logprob)
    return sums[0] / (sums[0] + sums[1]) if sums[0] + sums[1] else 0.5
