"""Monte-Carlo tree search: each simulation extends a promising beginning by a step and values it (2305.14992)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal

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
from ponder.steer.room import Room
from ponder.steer.score import Steps
from ponder.steer.search import Stage, best, check_steps, limited, plain, rate, spare, states
from ponder.steer.tree import Node, come_back, likelihood, most_visited, note_visits, puct, select, uct


@dataclass(frozen=True)
class Mcts:
    """`simulations` visits to a tree of steps; the best reply, or the best on the most visited way, is the answer."""

    simulations: int = 10
    """How many visits; one is plain sampling."""
    width: int = 4
    """How many steps are drawn from each node; equal ones are one."""
    rule: Literal["uct", "puct"] = "uct"
    """What chooses among children: visits alone, or visits and how likely the model finds each step."""
    c: float = 1.0
    """How much is given to what is little explored; 0 follows the best values."""
    value: Literal["rollout", "step"] = "rollout"
    """What is scored at a visit: a reply that is written from there to its end, or the new step with all before it."""
    scorer: Scorer = field(default_factory=MeanLogprob)
    """Says how good that is."""
    steps: Steps = "value"
    """The score of a reply: the scorer's own value, or the least, product, last or mean of all steps'."""
    choose: Literal["best", "majority", "visits"] = "best"
    """Answer with the best reply, the best that states the commonest answer, or the best on the most visited way."""
    parallel: int = 1
    """How many visits go side by side; more are quicker, and see less of each other."""
    delimiter: str = "\n\n"
    """Ends a step. On a command line, write a new line as backslash and n."""
    step: int = 256
    """The most tokens of a step: the delimiter may never come."""
    depth: int = 40
    """How many steps at most; the last one is written to the end of the reply."""
    temperature: float | None = None
    """Of the steps. By default the run's own, or 0.7 for several simulations of a greedy run."""
    cot: bool | None = None
    """Ask for step-by-step reasoning; by default only where the model does not think by itself."""

    def __post_init__(self) -> None:
        check_samples(self, 1, self.temperature)
        for name, number in (("simulations", self.simulations), ("width", self.width), ("parallel", self.parallel)):
            require(1 <= number <= 10_000, self, name, number, "1 to 10,000")
        require(0 <= self.c < float("inf"), self, "c", self.c, "a number of at least 0")
        check_steps(self, self.delimiter, self.step, self.depth)

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        """An engine that goes on with a half-written reply, and what scorer and rule need where there is a choice."""
        priors = {Cap.LOGPROBS} if self.rule == "puct" and self.simulations > 1 else set[Cap]()
        own = {"main": frozenset({Cap.PREFILL}) | priors}
        return own if self.simulations == 1 else merge_needs(own, self.scorer.needs())

    async def solve(self, problem: Problem, run: Run) -> Solution:
        """Visit in rounds of `parallel`, so that what a visit sees depends on no clock; then answer."""
        stage, room, top, done = Stage(run), Room(run), Node(root(problem, run, self.cot)), list[Branch]()
        limit: Finish | None = None
        while not limit and (leaves := self._leaves(top, run, bool(done))):
            count = len(top.values)
            follow = stage.lead(top.branch) if self.simulations == 1 else None
            jobs = [partial(self._visit, leaf, run, count + i, follow) for i, leaf in enumerate(leaves)]
            visits = await room.gather(jobs)
            ends = [end for _, end in visits]
            rated = await self._rate(problem, ends, run.quiet(self.simulations + count))
            limit = limited(ends) or (None if rated else "deadline")
            for leaf, (step, end), found in zip(leaves, visits, rated or ends, strict=True):
                known = len(leaf.branch.call.logprobs)
                mass = likelihood(step.call.logprobs[known:])
                done += [found] if end.ended and not leaf.branch.ended else []
                # A step that ends without an answer is worth nothing to those before it, however good it sounds.
                lost = step is end and end.ended and not states(end, run)
                value = min([found.score or 0.0, *(top.values if lost else ())])
                come_back(leaf, found if step is end else step, mass, value)
            run.note(f"{len(top.values)} simulations, {len(done)} replies have ended")
        return await self._answer(top, done, run, stage, room, limit)

    def _leaves(self, top: Node, run: Run, answered: bool) -> list[Node]:
        """Return the nodes to visit next, as many as are asked for and the budget affords, at least one at first."""
        paid = spare(run, top.branch.prompt, WHOLE if self.value == "rollout" else self._cut, answered)
        count = min(self.parallel, self.simulations - top.visits, paid if top.values else max(1, paid))
        leaves: list[Node] = []
        while len(leaves) < count and (leaf := select(top, self.width, self._worth)):
            leaves.append(leaf)
        return leaves

    def _worth(self, mean: float, visits: int, parent: int, prior: float) -> float:
        return uct(mean, visits, parent, self.c) if self.rule == "uct" else puct(mean, visits, parent, prior, self.c)

    @property
    def _cut(self) -> Cut:
        return Cut(plain(self.delimiter), self.step)

    async def _grow(self, branch: Branch, run: Run, cut: Cut, follow: Follow | None) -> Branch:
        several = self.simulations > 1
        priors: SamplingArgs = {"logprobs": 1} if self.rule == "puct" and several else {}
        asks = self.scorer.asks() if several else {}
        warm = heat(run.sampling.temperature, self.temperature, self.simulations)
        view = run.quiet(branch.slot) if several else run
        return await grow(branch, view, cut, {**priors, **asks, "temperature": warm}, follow)

    async def _visit(self, leaf: Node, run: Run, slot: int, follow: Follow | None) -> tuple[Branch, Branch]:
        """Return the next step from a node, and what is to be scored; a reply that has ended is its own step."""
        if leaf.branch.ended:
            return leaf.branch, leaf.branch
        cut = WHOLE if leaf.depth + 1 >= self.depth else self._cut
        step = await self._grow(replace(leaf.branch, slot=slot), run, cut, follow)
        return step, await self._grow(step, run, WHOLE, follow) if self.value == "rollout" else step

    async def _rate(self, problem: Problem, ends: list[Branch], view: Run) -> list[Branch] | None:
        """Score what is not scored yet."""
        fresh = [end for end in ends if end.score is None]
        if self.simulations == 1 or not fresh:
            return ends
        found = await rate(self.scorer, problem, fresh, view, self.steps)
        known = iter(found or ())
        return None if found is None else [next(known) if end.score is None else end for end in ends]

    async def _answer(
        self, top: Node, done: list[Branch], run: Run, stage: Stage, room: Room, limit: Finish | None
    ) -> Solution:
        """Choose among the replies that have ended; where none has, write the most visited one to its end."""
        note_visits(top, run)
        way = most_visited(top).branch
        if not done:
            ended = way if limit else await self._grow(way, run, WHOLE, stage.lead(way))
            limit, done = limit or limited([ended]), [ended]
        below = [branch for branch in done if branch.call.text.startswith(way.call.text)]
        rivals = below if self.choose == "visits" and below else done
        chosen = best(rivals, run, "majority" if self.choose == "majority" else "best")
        evidence = {"simulations": len(top.values), "ended": len(done), **room.evidence}
        return stage.close(chosen, evidence, limit)
