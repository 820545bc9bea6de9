"""What the study of searches runs: every search with every scorer, and one shared set of samples beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.judge import Item, Score, Scorer, Task, Verifier
from ponder.core.method import Method
from ponder.core.problem import Problem
from ponder.core.run import Call, Run
from ponder.methods.search.beam_search import BeamSearch
from ponder.methods.search.dpts import Dpts
from ponder.methods.search.mcts import Mcts
from ponder.methods.search.rsd import Rsd
from ponder.methods.search.speculative_rejection import SpeculativeRejection
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.scorers.prm import Prm
from ponder.scorers.prm_head import PrmHead
from ponder.scorers.stepwise import written
from ponder.steer.score import Steps
from ponder.train.lab.labels import Chain, step_score

SAMPLES = 8
LIKELIHOOD = "likelihood"
Make = Callable[[Scorer, Steps], Method]


def searches(delimiter: str, first: int, threshold: float) -> Mapping[str, Make]:
    """Return the searches by their names on the page; `threshold` is what `rsd` keeps a draft from."""
    return {
        "beam_search, 4 x 2": lambda scorer, steps: BeamSearch(
            n=4, width=2, steps=steps, scorer=scorer, delimiter=delimiter
        ),
        "beam_search, 8 x 2": lambda scorer, steps: BeamSearch(
            n=8, width=2, steps=steps, scorer=scorer, delimiter=delimiter
        ),
        "dvts, 4 x 2": lambda scorer, steps: BeamSearch(
            n=4, width=2, diverse=True, steps=steps, scorer=scorer, delimiter=delimiter
        ),
        "mcts, 4 rollouts": lambda scorer, steps: Mcts(
            simulations=4, parallel=2, steps=steps, scorer=every_step(scorer), delimiter=delimiter
        ),
        "mcts, 16 steps": lambda scorer, steps: Mcts(
            simulations=16, parallel=2, width=2, value="step", steps=steps, scorer=scorer, delimiter=delimiter
        ),
        "speculative_rejection, 8": lambda scorer, steps: SpeculativeRejection(
            n=SAMPLES, first=first, steps=steps, scorer=scorer
        ),
        "speculative_rejection, 8, later": lambda scorer, steps: SpeculativeRejection(
            n=SAMPLES, first=2 * first, steps=steps, scorer=scorer
        ),
        "dpts, 2 x 2": lambda scorer, steps: Dpts(
            parallel=2, width=2, enough=2, most=4, nodes=60, steps=steps, scorer=scorer, delimiter=delimiter
        ),
        "rsd": lambda scorer, steps: (
            # The method's own threshold is one for log-probabilities of single steps.
            Rsd(scorer=scorer, delimiter=delimiter)
            if isinstance(scorer, MeanLogprob)
            else Rsd(threshold=threshold, part="reply", scorer=scorer, delimiter=delimiter)
        ),
    }


def drafts(delimiter: str) -> Mapping[str, Method]:
    """Return `rsd` by what the target itself says of a draft: how likely each step is to it, from a threshold on."""
    return {
        f"rsd, {least}/{LIKELIHOOD}": Rsd(by="likelihood", threshold=least, delimiter=delimiter)
        for least in (-0.2, -0.1, -0.05)
    }


def every_step(scorer: Scorer) -> Scorer:
    """Let a reward model score all steps of what it is shown: of a whole reply none was scored before."""
    return replace(scorer, each=True) if isinstance(scorer, Prm | PrmHead) else scorer


def steps_of(scorer: Scorer) -> Steps:
    """Return what a path is worth: its worst step to a reward model, for what follows from a mistake looks good."""
    return "min" if isinstance(scorer, Prm | PrmHead) else "last"


@dataclass(frozen=True)
class Oracle:
    """Knows the chain of every question of the lab: 1 where the reply stands on firm ground, else 0. A control."""

    chains: Mapping[str, Chain] = field(compare=False)

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing."""
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        """Nothing."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return what is known of each reply so far."""
        think, chain = run.engine.think, self.chains[problem.id]
        return [step_score(chain, written(call, think), think) for call in calls]


@dataclass(frozen=True)
class Outcome:
    """Knows whether a reply that has ended is right, and of no other anything: what an oracle is without chains."""

    items: Mapping[str, tuple[Item, Verifier]] = field(compare=False)

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """Nothing."""
        return {"main": frozenset()}

    def asks(self) -> SamplingArgs:
        """Nothing."""
        return {}

    async def score(self, problem: Problem, calls: Sequence[Call], run: Run) -> list[Score]:
        """Return 1 for a right answer and 0 for all else."""
        item, verifier = self.items[problem.id]
        assert item.reference is not None
        return [Score(float(bool(verifier(call.answer, item.reference).correct))) for call in calls]


def oracle(tasks: Mapping[str, Sequence[Item]], verifiers: Mapping[str, Task]) -> Scorer:
    """Return what knows the questions of all tasks: step by step where all are of the lab."""
    if all(name.startswith("lab:") for name in tasks):
        return Oracle(
            {
                item.problem.id: Chain.of_item(item, verifiers[name].verifier)
                for name, items in tasks.items()
                for item in items
            }
        )
    return Outcome(
        {item.problem.id: (item, verifiers[name].verifier) for name, items in tasks.items() for item in items}
    )
