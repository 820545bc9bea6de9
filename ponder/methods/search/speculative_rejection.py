"""Speculative rejection: best of N whose least promising samples are dropped while they are written (2410.20290)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.errors import require
from ponder.core.judge import Scorer
from ponder.core.method import Finish, Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.steer.branch import WHOLE, Cut, grow, root
from ponder.steer.draw import heat
from ponder.steer.elect import check_samples
from ponder.steer.places import prune
from ponder.steer.room import Room
from ponder.steer.score import Steps
from ponder.steer.search import Stage, best, limited, ranked, rate, within


@dataclass(frozen=True)
class SpeculativeRejection:
    """`n` samples; each time that they fill the room of `n * first` tokens, the share `alpha` of them is dropped."""

    n: int = 16
    """How many samples begin; one is plain sampling."""
    alpha: float = 0.5
    """Which share is dropped at each decision; 0 drops none, which is best of N."""
    first: int = 128
    """Tokens of each sample before the first decision. The next ones come when the samples that are left have as many
    tokens together as all had then."""
    scorer: Scorer = field(default_factory=MeanLogprob)
    """Says how good a half-written reply is."""
    steps: Steps = "value"
    """The score of a reply: the scorer's own value, or the least, product, last or mean of all steps'."""
    temperature: float | None = None
    """Of the samples. By default the run's own, or 0.7 for several samples of a greedy run."""
    cot: bool | None = None
    """Ask for step-by-step reasoning; by default only where the model does not think by itself."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)
        require(0 <= self.alpha < 1, self, "alpha", self.alpha, "at least 0 and below 1")
        require(self.first >= 1, self, "first", self.first, "at least 1")

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply, and what the scorer needs where there is a choice."""
        own = {"main": frozenset({Cap.PREFILL})}
        return own if self.n == 1 else merge_needs(own, self.scorer.needs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Write, score, drop, until all that are left have ended; show what they have in common, and then the best."""
        stage, room, alive = Stage(run), Room(run), [root(problem, run, self.cot, slot) for slot in range(self.n)]
        asks = self.scorer.asks() if self.n > 1 else {}
        over: SamplingArgs = {**asks, "temperature": heat(run.sampling.temperature, self.temperature, self.n)}
        counts, length = [self.n], 0
        limit: Finish | None = None
        while not (limit or all(sample.ended for sample in alive)):
            keep = kept(len(alive), self.alpha)
            point = max(length + 1, self.n * self.first // len(alive))
            cut = WHOLE if keep == len(alive) else Cut(tokens=point - length)
            alive = within(run, alive, cut)
            follow = stage.lead(alive[0]) if len(alive) == 1 else None
            views = [run if self.n == 1 else run.quiet(sample.slot) for sample in alive]
            pairs = zip(alive, views, strict=True)
            alive = await room.gather([partial(grow, one, view, cut, over, follow) for one, view in pairs])
            view = run.quiet(self.n + len(counts))
            found = alive if len(alive) == 1 else await rate(self.scorer, problem, alive, view, self.steps)
            limit = limited(alive) or (None if found else "deadline")
            alive, length = found or alive, point
            if not limit and cut != WHOLE:
                rivals, alive = alive, ranked(alive, run)[:keep]
                prune(run, rivals, alive)
            counts.append(len(alive))
            stage.commit(alive)
            run.note(f"{len(alive)} samples are left after {length} tokens")
        evidence: dict[str, float | str] = {"n": self.n, "alive": " ".join(map(str, counts))}
        return stage.close(best(alive, run), {**evidence, **room.evidence}, limit)


def kept(count: int, alpha: float) -> int:
    """Return how many of `count` samples a decision keeps, at least one; halves are rounded to the even number."""
    return max(1, round((1 - alpha) * count))
