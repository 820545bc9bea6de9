"""Dynamic parallel tree search: confident paths are followed to their ends, others left or looked at (2502.16235)."""

from __future__ import annotations

from collections.abc import Mapping
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
from ponder.steer.paths import Paths
from ponder.steer.room import Room
from ponder.steer.score import Steps
from ponder.steer.search import Choose, Stage, best, check_steps, limited, plain, rate, spare, states
from ponder.steer.tree import Node, note_visits


@dataclass(frozen=True)
class Dpts:
    """A tree that grows from `parallel` steps at once: some on paths that are followed, the others a look around."""

    parallel: int = 4
    """From how many steps the tree grows at once."""
    width: int = 4
    """How many steps are drawn from each."""
    share: float = 0.5
    """Which part of them are paths that are followed; with one step at a time and 0.5, none."""
    early: float = 0.8
    """A path is left below so much of the mean confidence of the replies that have ended."""
    seek: float = 0.8
    """A step that was looked at is followed above so much of the mean confidence of the open ones."""
    enough: int = 5
    """After so many replies the search ends as soon as every open step is trusted less than the best of them."""
    most: int = 20
    """The search ends after so many replies in any case."""
    nodes: int = 200
    """How many steps are drawn at most."""
    scorer: Scorer = field(default_factory=MeanLogprob)
    """Says how confident to be of a half-written reply."""
    steps: Steps = "value"
    """The score of a reply: the scorer's own value, or the least, product, last or mean of all steps'."""
    choose: Choose = "best"
    """Answer with the best-scored reply, or with the best-scored one that states the commonest answer."""
    delimiter: str = "\n\n"
    """Ends a step. On a command line, write a new line as backslash and n."""
    step: int = 100
    """The most tokens of a step."""
    depth: int = 16
    """How many steps at most; the last one is written to the end of the reply."""
    temperature: float | None = None
    """Of the steps. By default the run's own, or 0.7 in a greedy run."""
    cot: bool | None = None
    """Ask for step-by-step reasoning; by default only where the model does not think by itself."""

    def __post_init__(self) -> None:
        check_samples(self, 1, self.temperature)
        counts = {"parallel": self.parallel, "width": self.width, "enough": self.enough, "most": self.most}
        for name, number in {**counts, "nodes": self.nodes}.items():
            require(1 <= number <= 10_000, self, name, number, "1 to 10,000")
        require(0 <= self.share <= 1, self, "share", self.share, "0 to 1")
        require(self.early >= 0, self, "early", self.early, "at least 0")
        require(self.seek >= 0, self, "seek", self.seek, "at least 0")
        check_steps(self, self.delimiter, self.step, self.depth)

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply, and what the scorer needs."""
        return merge_needs({"main": frozenset({Cap.PREFILL})}, self.scorer.needs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Grow the tree in rounds, so that what is chosen depends on no clock; then answer."""
        stage, room, drawn = Stage(run), Room(run), 0
        top = Node(root(problem, run, self.cot))
        paths = Paths(top, self.early, self.seek, self.enough, partial(states, run=run))
        limit: Finish | None = None
        while not limit and len(paths.done) < self.most and not (drawn and paths.over()):
            paid = min(self.nodes - drawn, spare(run, paths.top.branch.prompt, self._cut, bool(paths.done)))
            seats = paths.seats(min(self.parallel, paid // self.width), self.share)
            if not seats:
                break
            jobs = [node for node, _ in seats for _ in range(self.width)]
            grown = await room.gather([partial(self._step, node, run, drawn + i) for i, node in enumerate(jobs)])
            view = run.quiet(self.nodes + drawn)
            drawn += len(grown)
            rated = await rate(self.scorer, problem, grown, view, self.steps)
            limit = limited(grown) or (None if rated else "deadline")
            for place, (node, follow) in enumerate(seats):
                paths.take(node, (rated or grown)[place * self.width : (place + 1) * self.width], follow)
            run.note(f"{drawn} steps, {len(paths.done)} replies have ended, {len(paths.followed)} paths are followed")
        note_visits(paths.top, run)
        if not paths.done:
            last = paths.best_left()
            last = last if limit else await self._grow(last, run, WHOLE, stage.lead(last))
            limit, paths.done = limit or limited([last]), [last]
        evidence: dict[str, float | str] = {"steps": drawn, "ended": len(paths.done), **room.evidence}
        return stage.close(best(paths.done, run, self.choose), evidence, limit)

    @property
    def _cut(self) -> Cut:
        return Cut(plain(self.delimiter), self.step)

    async def _step(self, node: Node, run: Run, slot: int) -> Branch:
        cut = WHOLE if node.depth + 1 >= self.depth else self._cut
        return await self._grow(replace(node.branch, slot=slot), run, cut, None)

    async def _grow(self, branch: Branch, run: Run, cut: Cut, follow: Follow | None) -> Branch:
        warm = heat(run.sampling.temperature, self.temperature, 2)
        over: SamplingArgs = {**self.scorer.asks(), "temperature": warm}
        return await grow(branch, run.quiet(branch.slot), cut, over, follow)
