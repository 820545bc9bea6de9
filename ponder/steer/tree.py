"""A tree of half-written replies for Monte-Carlo search: what is selected in it, and what a visit leaves behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from math import exp, fsum, inf, isfinite, isnan, log, sqrt

from ponder.core.engine import Logprob
from ponder.core.run import Run
from ponder.steer.branch import Branch
from ponder.steer.places import place_of

Rule = Callable[[float, int, int, float], float]
"""(mean value, visits, visits of the parent, prior) to how much a child is worth a visit."""


def uct(mean: float, visits: int, parent: int, c: float) -> float:
    """Return mean + c · √(ln parent / visits); a child without visits comes first."""
    return mean + c * sqrt(log(parent) / visits) if visits else inf


def puct(mean: float, visits: int, parent: int, prior: float, c: float) -> float:
    """Return mean + c · prior · √parent / (1 + visits)."""
    return mean + c * prior * sqrt(parent) / (1 + visits)


@dataclass(slots=True, eq=False)
class Node:
    """A half-written reply, or a whole one.

    `values` are those that were backed up through it, `drawn` counts the steps that were asked for from here, and
    `pending` the visits on their way: until they are back they count as losses, so that others go elsewhere (virtual
    loss). `mass` is the probability of its step, of equal steps together.
    """

    branch: Branch
    parent: Node | None = None
    mass: float = 1.0
    children: list[Node] = field(default_factory=list)
    values: list[float] = field(default_factory=list)
    drawn: int = 0
    pending: int = 0

    @property
    def depth(self) -> int:
        """Steps above this one."""
        return sum(1 for _ in self.path()) - 1

    @property
    def visits(self) -> int:
        """Visits that are back, and those on their way."""
        return len(self.values) + self.pending

    def path(self) -> Iterator[Node]:
        """Yield this node, its parent, and so on up to the root."""
        node: Node | None = self
        while node is not None:
            yield node
            node = node.parent

    def mean(self, scale: Scale) -> float:
        """Return the mean value, in 0 to 1; visits on their way count 0."""
        return fsum(map(scale, self.values)) / self.visits if self.visits else 0.0

    def prior(self) -> float:
        """Return the share of its step among those of its siblings."""
        total = fsum(child.mass for child in self.parent.children) if self.parent else self.mass
        return self.mass / total if total else 0.0


class Scale:
    """Brings values to 0 to 1: as they are where all lie there, else by the least and the greatest finite one.

    The constant of exploration weighs against values of that size; log-probabilities would drown in it.
    """

    def __init__(self, values: Sequence[float]) -> None:
        finite = [value for value in values if isfinite(value)]
        unit = all(0 <= value <= 1 for value in finite)
        self._low, self._high = (0.0, 1.0) if unit else (min(finite), max(finite))

    def __call__(self, value: float) -> float:
        """Return a value of the tree in 0 to 1; 0 and 1 for infinite ones, 0.5 where all are equal."""
        if not isfinite(value):
            return float(value > 0)
        if self._low == self._high:
            return 0.5
        return (value - self._low) / (self._high - self._low)


def select(root: Node, width: int, rule: Rule) -> Node | None:
    """Return the node to visit next: where fewer than `width` steps were drawn, or a reply that has ended.

    None where it takes a visit to come back first. The way to the node is marked as on its way.
    """
    node, scale = root, Scale(root.values)
    while not node.branch.ended and node.drawn >= width:
        if not node.children:
            return None
        above = node.visits
        node = max(node.children, key=lambda child: rule(child.mean(scale), child.visits, above, child.prior()))
    node.drawn += not node.branch.ended
    for passed in node.path():
        passed.pending += 1
    return node


def come_back(node: Node, step: Branch, mass: float, value: float) -> Node:
    """Note that a visit to `node` wrote `step` and is worth `value`; return the node of the step.

    A step that was written before is that node: its visits and probabilities are added up. A reply that has ended is
    its own.
    """
    for passed in node.path():
        passed.pending -= 1
    same = node if node.branch.ended else next((c for c in node.children if c.branch.call.text == step.call.text), None)
    if same is None:
        same = Node(step, node, mass)
        node.children.append(same)
    elif same is not node:
        same.mass += mass
    for passed in same.path():
        passed.values.append(value)
    return same


def most_visited(root: Node) -> Node:
    """Return the end of the way that is visited most; of equal children the better, then the first."""
    node, scale = root, Scale(root.values)
    while node.children:
        node = max(node.children, key=lambda child: (child.visits, child.mean(scale)))
    return node


def note_visits(root: Node, run: Run) -> None:
    """Note in the trace how often each node was visited, and the mean of its values where it has no score itself."""
    waiting = list(root.children)
    while waiting:
        node = waiting.pop()
        waiting += node.children
        place = place_of(run, node.branch.at)
        place.visits = len(node.values)
        if place.score is None and node.values:
            # Huge values would run over in their sum, and infinite ones may have no mean.
            mean = sum(value / len(node.values) for value in node.values)
            place.score = None if isnan(mean) else mean


def likelihood(logprobs: Sequence[Logprob]) -> float:
    """Return e to the mean log-probability of a step: its probability, whatever its length. 1 where none is known."""
    return exp(fsum(token.logprob for token in logprobs) / len(logprobs)) if logprobs else 1.0
