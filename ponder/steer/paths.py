"""Which paths of a tree are followed and which only looked at: dynamic parallel tree search by two thresholds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import fsum, inf, sqrt

from ponder.steer.branch import Branch
from ponder.steer.tree import Node, Scale, come_back


def promise(mean: float, visits: int, parent: int, reward: float) -> float:
    """Return mean + √½ · reward · √(1 + visits of the parent) / (1 + visits)."""
    return mean + sqrt(0.5) * sqrt(1 + parent) * reward / (1 + visits)


def mean(values: Sequence[float]) -> float:
    """Return the mean; 0 where there is none."""
    return fsum(values) / len(values) if values else 0.0


class Paths:
    """A tree in which some paths are followed to their ends, and the other steps are `open`.

    A path stops where its confidence falls below `early` times the mean of the replies that have ended, or, once more
    than `enough` have, below the best of them. An open step that is looked at is followed where what comes of it is
    above `seek` times the mean of all open ones. Scores count in 0 to 1, as `Scale` brings them there. A reply that has
    ended and does not state an answer, as `states` tells it, is `lost`: nothing is measured by it.
    """

    def __init__(self, top: Node, early: float, seek: float, enough: int, states: Callable[[Branch], bool]) -> None:
        self.top = top
        self.open = [top]
        self.followed: list[Node] = []
        self.done: list[Branch] = []
        self.lost: list[Branch] = []
        self._early, self._seek, self._enough, self._states = early, seek, enough, states
        self._scale = Scale(())

    def _trust(self, branch: Branch) -> float:
        return self._scale(branch.score or 0.0)

    def stops_below(self) -> float:
        """The confidence below which a path stops; minus infinity as long as no reply has ended."""
        ended = [self._trust(branch) for branch in self.done]
        if len(ended) > self._enough:
            return max(ended)
        return self._early * mean(ended) if ended else -inf

    def follows_above(self, candidates: Sequence[Node]) -> float:
        """The confidence above which a step is followed."""
        return self._seek * mean([self._trust(node.branch) for node in candidates])

    def promise(self, node: Node) -> float:
        """Return how much an open step is worth to be gone on with."""
        if node.parent is None:
            return inf
        return promise(node.mean(self._scale), node.visits, node.parent.visits, self._trust(node.branch))

    def seats(self, count: int, share: float) -> list[tuple[Node, bool]]:
        """Return up to `count` steps to go on from, and whether each is followed: paths first, then the most promising
        open ones, followed as far as the `share` of all seats goes. They are open no more.
        """
        going, rest = self.followed[:count], self.followed[count:]
        waiting = sorted([*self.open, *rest], key=self.promise, reverse=True)
        looked, self.open = waiting[: count - len(going)], waiting[count - len(going) :]
        self.followed = []
        new = max(0, int(share * count) - len(going))
        return [(node, place < len(going) + new) for place, node in enumerate([*going, *looked])]

    def take(self, node: Node, steps: Sequence[Branch], follow: bool) -> None:
        """Take the steps that were written after a node: the best of them goes on, is open, or has ended."""
        for passed in node.path():
            passed.pending += len(steps)
        fresh = list(dict.fromkeys(come_back(node, step, 1.0, step.score or 0.0) for step in steps))
        self._scale = Scale(self.top.values)
        lost = [child for child in fresh if child.branch.ended and not self._states(child.branch)]
        self.lost += [child.branch for child in lost]
        fresh = [child for child in fresh if child not in lost]
        if not fresh:
            return
        self.done += [child.branch for child in fresh if child.branch.ended]
        best = max(fresh, key=lambda child: self._trust(child.branch))
        self.open += [child for child in fresh if child is not best and not child.branch.ended]
        if best.branch.ended:
            return
        trust = self._trust(best.branch)
        goes_on = trust >= self.stops_below() if follow else trust > self.follows_above([*self.open, best])
        (self.followed if goes_on else self.open).append(best)

    def over(self) -> bool:
        """Whether enough replies have ended, and every open step is trusted less than the best of them."""
        left = [self._trust(node.branch) for node in (*self.open, *self.followed)]
        ended = [self._trust(branch) for branch in self.done]
        return not left or (len(ended) >= self._enough and max(left) < max(ended))

    def best_left(self) -> Branch:
        """Return the most trusted beginning that could be gone on with; where none is left, of those that are lost."""
        left = [node.branch for node in (*self.followed, *self.open)]
        return max(left or self.lost, key=self._trust)
