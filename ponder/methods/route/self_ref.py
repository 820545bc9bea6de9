"""Self-REF: a model trained to end its replies with a mark of confidence is routed by it (2410.13284)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.scorers.confidence_token import ConfidenceToken
from ponder.steer.climb import MAIN, Last, Rung, climb, needs_of
from ponder.text.confidence import MARKS, unmarked


@dataclass(frozen=True)
class SelfRef:
    """The trained model's answer, its mark taken off, where it is confident enough; else the strong one's."""

    weak: Method = field(default_factory=lambda: Sample(cot=False))
    """Answers first, and ends with a mark."""
    strong: Method = field(default_factory=Sample)
    """Answers what the weak one is not confident of."""
    strong_on: str = MAIN
    """The engine of the strong one."""
    threshold: float = 0.5
    """The least confidence with which the weak answer is taken: 0 to 1. A reply without a mark is never taken."""
    confident: str = MARKS[0]
    """The mark of a reply that the model holds to be right."""
    unconfident: str = MARKS[1]
    """The mark of one that it holds to be wrong."""

    def __post_init__(self) -> None:
        require(0 <= self.threshold <= 1, self, "threshold", self.threshold, "0 to 1")
        self._scorer()

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Log-probabilities of the weak answer, and what both ways need."""
        return needs_of(*self._rungs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Answer, and ask the strong one where the mark says so."""
        return await climb(problem, run, *self._rungs())

    def _rungs(self) -> tuple[list[Rung], Last]:
        def clean(answer: str) -> str:
            return unmarked(answer, (self.confident, self.unconfident))

        rung = Rung(self.weak, MAIN, self._scorer(), self.threshold, clean)
        return [rung], Last(self.strong, self.strong_on)

    def _scorer(self) -> ConfidenceToken:
        return ConfidenceToken(self.confident, self.unconfident)
