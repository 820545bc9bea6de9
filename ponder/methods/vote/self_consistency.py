"""Self-consistency: sample several replies and take the answer that most of them state (2203.11171)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.gather import gather
from ponder.core.method import Method, Solution
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample

MOST = 10_000
"""Samples: each is a task of its own, so a slip of the keyboard must not ask for a million."""


@dataclass(frozen=True)
class SelfConsistency:
    """A plain majority of `n` concurrent samples; a tie goes to the answer that the earlier sample gave."""

    n: int = 8
    """How many samples."""
    inner: Method = field(default_factory=Sample)
    """Gives one sample."""
    temperature: float | None = None
    """Of the samples. By default the run's own, or 0.7 for several samples of a greedy run: equal ones cannot vote."""

    def __post_init__(self) -> None:
        require(1 <= self.n <= MOST, self, "n", self.n, f"1 to {MOST:,}")
        warm = self.temperature is None or self.temperature >= 0
        require(warm, self, "temperature", self.temperature, "at least 0")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs."""
        return self.inner.needs()

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Sample, vote, and show the first sample of the class that won."""
        samples = await gather(self._sample(problem, run, index) for index in range(self.n))
        classes = _classes([run.extract(sample.answer) for sample in samples], run)
        winner = max(classes, key=len, default=list(range(self.n)))
        chosen = samples[winner[0]]
        run.show(chosen.thinking, "think")
        run.show(chosen.answer)
        failed = self.n - sum(map(len, classes))
        votes = len(winner) if classes else 0
        evidence = {**chosen.evidence, "votes": votes, "share": votes / self.n, "n": self.n, "failed": failed}
        return replace(chosen, evidence=evidence)

    async def _sample(self, problem: Problem, run: Run, index: int) -> Solution:
        branch = run.quiet(index)
        branch.sampling = replace(branch.sampling, temperature=self._heat(branch.sampling.temperature))
        sample = await self.inner.solve(problem, branch)
        stated = run.extract(sample.answer)
        run.note(f"sample {index + 1} of {self.n}: {'no answer' if stated is None else stated}")
        return sample

    def _heat(self, own: float) -> float:
        if self.temperature is not None:
            return self.temperature
        return own if own > 0 or self.n == 1 else 0.7


def _classes(answers: list[str | None], run: Run) -> list[list[int]]:
    """Group the samples that state equal answers, in the order in which answers first stand; failures are left out."""
    classes: list[tuple[str, list[int]]] = []
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        for first, members in classes:
            if first == answer or run.same(first, answer):
                members.append(index)
                break
        else:
            classes.append((answer, [index]))
    return [members for _, members in classes]
