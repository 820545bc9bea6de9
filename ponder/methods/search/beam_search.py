"""Beam search: several replies grow step by step, and after each step the best-scored go on (2408.03314)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from ponder.core.engine import Cap, SamplingArgs
from ponder.core.errors import require
from ponder.core.judge import Scorer
from ponder.core.method import Finish, Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.scorers.mean_logprob import MeanLogprob
from ponder.steer.branch import WHOLE, Branch, Cut, Follow, grow, root
from ponder.steer.draw import heat
from ponder.steer.elect import check_samples
from ponder.steer.places import prune
from ponder.steer.room import Room
from ponder.steer.score import Steps
from ponder.steer.search import Choose, Stage, affordable, best, check_steps, limited, plain, ranked, rate


@dataclass(frozen=True)
class BeamSearch:
    """`n` beams; after each step the best `n / width` go on, each as `width` beams; those that have ended are kept."""

    n: int = 8
    """How many beams; one is plain sampling."""
    width: int = 4
    """In how many ways a beam that is kept goes on; 1 keeps all, `n` keeps one."""
    diverse: bool = False
    """Search in `n / width` trees that do not compete: each follows its one best beam (DVTS)."""
    distinct: bool = False
    """Of beams that have written the same, keep but one: else the best `n / width` may be a single one."""
    scorer: Scorer = field(default_factory=MeanLogprob)
    """Says how good a half-written reply is."""
    steps: Steps = "value"
    """The score of a reply: the scorer's own value, or the least, product, last or mean of all steps'."""
    delimiter: str = "\n\n"
    """Ends a step. On a command line, write a new line as backslash and n."""
    step: int = 256
    """The most tokens of a step: the delimiter may never come."""
    depth: int = 40
    """How many steps at most; the last one is written to the end of the reply."""
    choose: Choose = "best"
    """Answer with the best-scored reply, or with the best-scored one that states the commonest answer."""
    temperature: float | None = None
    """Of the beams. By default the run's own, or 0.7 for several beams of a greedy run."""
    cot: bool | None = None
    """Ask for step-by-step reasoning; by default only where the model does not think by itself."""

    def __post_init__(self) -> None:
        check_samples(self, self.n, self.temperature)
        require(self.width >= 1, self, "width", self.width, "at least 1")
        check_steps(self, self.delimiter, self.step, self.depth)

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply, and what the scorer needs where there is a choice."""
        own = {"main": frozenset({Cap.PREFILL})}
        return own if self.n == 1 else merge_needs(own, self.scorer.needs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Grow, score, prune; show what all beams have in common, and at the end the best."""
        stage, room, done = Stage(run), Room(run), list[Branch]()
        live = [root(problem, run, self.cot, slot) for slot in range(self.n)]
        depth = narrowed = 0
        limit: Finish | None = None
        while live and not limit:
            depth += 1
            cut = WHOLE if depth == self.depth else Cut(plain(self.delimiter), self.step)
            seats = affordable(run, live, len(live), cut)
            narrowed += seats < len(live)
            alone = seats == 1 and not done
            grown = await self._grow(live[:seats], run, room, cut, stage.lead(live[0]) if alone else None)
            found = grown if alone else await rate(self.scorer, problem, grown, run.quiet(self.n + depth), self.steps)
            limit = limited(grown) or (None if found else "deadline")
            live = self._prune(found or grown, done, run, stay=limit is not None)
            prune(run, grown, [*done, *live])
            stage.commit([*done, *live])
            run.note(f"step {depth}: {seats} beams, {len(done)} ended so far")
        evidence = {"n": self.n, "steps": depth, "ended": sum(beam.ended for beam in done), "narrowed": narrowed}
        return stage.close(best([*done, *live], run, self.choose), {**evidence, **room.evidence}, limit)

    async def _grow(self, beams: list[Branch], run: Run, room: Room, cut: Cut, follow: Follow | None) -> list[Branch]:
        asks = self.scorer.asks() if self.n > 1 else {}
        over: SamplingArgs = {**asks, "temperature": heat(run.sampling.temperature, self.temperature, self.n)}
        views = [run if self.n == 1 else run.quiet(beam.slot) for beam in beams]
        pairs = zip(beams, views, strict=True)
        return await room.gather([partial(grow, beam, view, cut, over, follow) for beam, view in pairs])

    def _prune(self, grown: list[Branch], done: list[Branch], run: Run, stay: bool) -> list[Branch]:
        """Return the beams that go on, each in a slot of its own, none of them after a limit; add to `done` the others
        that may be the answer.
        """
        if stay:
            done += grown
            return []
        if not self.diverse:
            done += [beam for beam in grown if beam.ended]
            slots = [slot for slot in range(self.n) if slot not in {beam.slot for beam in done}]
            going = {beam.call.text if self.distinct else beam.slot: beam for beam in reversed(grown) if not beam.ended}
            return seated([*going.values()][::-1], slots, max(1, self.n // self.width))
        live: list[Branch] = []
        for tree in sorted({beam.slot // self.width for beam in grown}):
            rivals = ranked([beam for beam in grown if beam.slot // self.width == tree], run)
            if rivals[0].ended:
                done += [beam for beam in rivals if beam.ended]
            else:
                first = tree * self.width
                live += seated(rivals[:1], range(first, min(first + self.width, self.n)), 1)
        return live


def seated(beams: Sequence[Branch], slots: Sequence[int], keep: int) -> list[Branch]:
    """Return the best `keep` beams, and as many copies of them in turn as there are slots. Who is kept keeps its slot,
    so that a beam that is never copied is one sample.
    """
    kept = ranked(beams)[: min(keep, len(slots))]
    free = [slot for slot in slots if slot not in {beam.slot for beam in kept}]
    copies = [replace(kept[place % len(kept)], slot=slot) for place, slot in enumerate(free)] if kept else []
    return [*kept, *copies]
