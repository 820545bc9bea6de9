"""Sketch-of-Thought: shorthand instead of sentences, in one of three styles that a classifier chooses (2503.05179)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ponder.core.engine import Cap
from ponder.core.errors import require
from ponder.core.judge import Router
from ponder.core.method import Method, Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods.vote.sample import Sample
from ponder.routers.words import WordsRouter
from ponder.steer.rating import rated
from ponder.steer.shots import with_shots
from ponder.text.sketches import PARADIGMS, SKETCHES, Paradigm


@dataclass(frozen=True)
class SketchOfThought:
    """The rule of one paradigm behind the question, and its worked sketches as earlier turns."""

    paradigm: Literal["auto", "chunked_symbolism", "conceptual_chaining", "expert_lexicons"] = "auto"
    """The style; `auto` lets the router choose."""
    router: Router = field(default_factory=WordsRouter)
    """Rates the three paradigms."""
    fallback: Paradigm = "chunked_symbolism"
    """The style where the router fails."""
    shots: int = 3
    """How many worked sketches come before the question."""
    inner: Method = field(default_factory=lambda: Sample(cot=False))
    """Answers the question once all is added."""

    def __post_init__(self) -> None:
        require(0 <= self.shots <= 3, self, "shots", self.shots, "0 to 3")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """What the inner method needs, and the router where it is asked."""
        return merge_needs(self.inner.needs(), self.router.needs() if self.paradigm == "auto" else {})

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Choose a style, and ask for it. Raises `DataError` or `OptionError` where the router cannot be used."""
        paradigm, evidence = await self.choose(problem, run)
        sketch, asked = SKETCHES[paradigm], problem.question
        shown = with_shots(problem, sketch.rule.to(asked), sketch.shots(asked)[: self.shots])
        solution = await self.inner.solve(shown, run)
        return replace(solution, evidence={**solution.evidence, **evidence})

    async def choose(self, problem: Problem, run: Run) -> tuple[Paradigm, dict[str, float | str]]:
        """Return the style for a question, and what the solution says of the choice."""
        if self.paradigm != "auto":
            return self.paradigm, {}
        found = await rated(self.router, problem, run, PARADIGMS, self.fallback)
        if found.failed:
            return self.fallback, {"route": self.fallback, **found.evidence}
        best = max(PARADIGMS, key=found.ratings.__getitem__)
        return best, {"route": best, "score": found.ratings[best]}
