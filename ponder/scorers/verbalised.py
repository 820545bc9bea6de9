"""Verbalised confidence: a model is asked how likely its reply is right, and says a number (2502.04428)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from ponder.core.engine import Cap, Engine, SamplingArgs
from ponder.core.gather import gather
from ponder.core.judge import Score
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.scorers.verifier_prompt import asked_after, begun
from ponder.text.confidence import HOW_LIKELY, stated_share

_LONGEST = 16
"""Tokens within which the number must come."""


@dataclass(frozen=True)
class Verbalised:
    """The number that the model states, in 0 to 1; 0.5 where it states none, minus infinity for an empty reply.

    It needs no log-probabilities, and is the worst of the measures that the paper compares.
    """

    engine: str = "main"
    """Which engine is asked: by default the one that replied."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing in any case."""
        return {self.engine: frozenset()}

    def refuse(self, engines: Mapping[str, Engine]) -> None:
        """Raise `Unsupported` for a model that cannot be kept from thinking: it takes PREFILL or THINKING."""
        begun(engines[self.engine], "Verbalised")

    def asks(self) -> SamplingArgs:
        """Nothing of the replies themselves."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Ask once about each reply. Raises `Unsupported` for a model that cannot be kept from thinking."""
        values = await gather(self._ask(problem, call, run, index) for index, call in enumerate(calls))
        return [Score(value) for value in values]

    async def _ask(self, problem: Problem, call: Call, run: Run, index: int) -> float:
        if not call.answer.strip():
            return -math.inf
        branch = (run if self.engine == "main" else run.on(self.engine)).quiet(index)
        branch.sampling = replace(branch.sampling, stop=(), logit_bias=())
        prompt = asked_after(problem, call.answer, branch.engine, HOW_LIKELY, "Verbalised")
        said = await branch.generate(prompt, "verify", max_tokens=_LONGEST, temperature=0.0)
        share = stated_share(said.answer)
        if share is None:
            return -math.inf if said.finish in ("budget", "deadline") else 0.5
        return share
