"""Causal classifier: a language model grades how well the weak choice would do on a question (2406.18665)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ponder.core.engine import Cap, Logprob
from ponder.core.errors import require
from ponder.core.problem import Message, Problem, Prompt
from ponder.core.run import Run

INSTRUCTION = (
    "How well would a small language model answer this question? "
    "Reply with a grade alone, from [[1]] (wrong) to [[5]] (right)."
)
GRADES = ("1", "2", "3", "4", "5")
GOOD = frozenset({"4", "5"})
"""Grades with which the weak choice is good enough."""
_RIVALS = 20
_PATIENCE = 6
"""Tokens within which the grade must come: brackets may be tokens of their own."""


@dataclass(frozen=True)
class CausalClassifier:
    """The weak choice is rated with the probability of the grades 4 and 5 among all five, the strong one with the rest.

    Where the model writes no grade the question goes to the strong choice, as in the paper's code.
    """

    engine: str = "router"
    """Which engine grades: one with what `ponder train router --kind causal` is fine-tuned to."""
    choices: tuple[str, ...] = ("weak", "strong")
    """What is rated, the cheaper first."""

    def __post_init__(self) -> None:
        require(len(set(self.choices)) == len(self.choices) == 2, self, "choices", self.choices, "two different names")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Log-probabilities of the grade."""
        return {self.engine: frozenset({Cap.LOGPROBS})}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        """Ask once. Raises `EngineError` where the model fails."""
        asking = run.on(self.engine).quiet(0)
        asking.sampling = replace(asking.sampling, stop=(), top_p=1.0, top_k=0, min_p=0.0, logit_bias=())
        weak = 0.0
        async with asking.stream(
            prompt(problem.question), "route", max_tokens=_PATIENCE, temperature=0.0, logprobs=_RIVALS
        ) as live:
            async for chunk in live:
                grade = next((token for token in chunk.logprobs if token.token.strip(" []") in GRADES), None)
                if grade is not None:
                    weak = good_enough(grade)
                    break
        return {self.choices[0]: weak, self.choices[1]: 1 - weak}


def prompt(question: str) -> Prompt:
    """Return what the model is asked, in training as in use."""
    return Prompt((Message.of("user", f"{question}\n\n{INSTRUCTION}"),))


def good_enough(word: Logprob) -> float:
    """Return the share of the grades 4 and 5 among all grades, from a token and its rivals."""
    shares = {token.strip(" []"): math.exp(value) for token, value in (*word.top, (word.token, word.logprob))}
    every = math.fsum(shares.get(grade, 0.0) for grade in GRADES)
    return math.fsum(shares.get(grade, 0.0) for grade in GOOD) / every if every else 0.0
