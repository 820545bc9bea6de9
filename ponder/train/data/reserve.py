"""A tree that keeps whole rollouts: each of their steps is a node, and each node knows how often it led to the end."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from math import log, sqrt
from random import Random
from typing import Literal, NamedTuple

End = Literal["right", "wrong", "cut", "unjudged"]
"""How a rollout ended: with the right answer, with another one, at a limit, or with one that nobody could judge."""


class Step(NamedTuple):
    """A step as it was written, its delimiter included, and the tokens that were sampled for it."""

    text: str
    tokens: int


_NONE = Step("", 0)


@dataclass(slots=True, eq=False)
class Node:
    """A beginning of a reply, by its last step. `ends` are the ends of the rollouts that ended here.

    The root has no step. A reply that ended may be the beginning of a longer one, so a node may have both ends and
    children.
    """

    step: Step = _NONE
    parent: Node | None = None
    children: list[Node] = field(default_factory=list)
    ends: list[End] = field(default_factory=list)
    visits: int = 0
    wins: int = 0

    @property
    def score(self) -> float:
        """The share of rollouts through this node that ended right; 0 where there was none."""
        return self.wins / self.visits if self.visits else 0.0

    def way(self) -> list[Node]:
        """Return the nodes from the root to this one."""
        way: list[Node] = []
        node: Node | None = self
        while node is not None:
            way.append(node)
            node = node.parent
        return way[::-1]

    @property
    def text(self) -> str:
        """All that is written up to here."""
        return "".join(node.step.text for node in self.way())

    @property
    def tokens(self) -> int:
        """The tokens that were sampled for `text`."""
        return sum(node.step.tokens for node in self.way())

    def below(self) -> Iterator[Node]:
        """Yield this node and all under it, each before what follows from it."""
        waiting = [self]
        while waiting:
            node = waiting.pop()
            yield node
            waiting.extend(reversed(node.children))


def uct(child: Node, parent: Node, c: float) -> float:
    """Return score + c · √(ln visits of the parent / visits)."""
    return child.score + c * sqrt(log(parent.visits) / child.visits)


def stays(node: Node, low: float, high: float) -> bool:
    """Whether the next rollout begins here: what is hard but can be done, or easy and not always done.

    That is a score in (0, low] or [high, 1). What always or never led to the right answer is passed.
    """
    return 0 < node.score <= low or high <= node.score < 1


def select(root: Node, low: float, high: float, c: float, dice: Random) -> Node:
    """Return the node that the next rollout begins at.

    The way down is by UCT, whose constant is multiplied by a node's score once it was visited more than once, and ends
    where a node stays. A way that comes to the end of a reply is branched off at any of its nodes that has led to a
    right answer, all with the same chance, and at the root where none has: a wrong beginning may have no right end.
    """
    node = root
    while node.children and not stays(node, low, high):
        above, scale = node, c * node.score if node.visits > 1 else c
        node = max(above.children, key=lambda child: uct(child, above, scale))
    if node.children or node is root:
        return node
    proven = [passed for passed in node.way() if passed.children and passed.wins]
    return dice.choice(proven) if proven else root


def reserve(node: Node, steps: Sequence[Step], end: End) -> Node:
    """Keep every step of a rollout from a node, and note at all nodes on the way how it ended; return its last node.

    A step that stands there already is that node, so that no reply is in the tree twice.
    """
    for step in steps:
        same = next((child for child in node.children if child.step.text == step.text), None)
        if same is None:
            same = Node(step, node)
            node.children.append(same)
        node = same
    node.ends.append(end)
    for passed in node.way():
        passed.visits += 1
        passed.wins += end == "right"
    return node


def replies(root: Node, end: End) -> list[Node]:
    """Return the ends of the different replies that ended so, those of one beginning side by side."""
    return [node for node in root.below() if end in node.ends]


class Pair(NamedTuple):
    """Two replies that part after `shared`: one ends right, the other wrong, and its branch was worth less."""

    shared: Node
    chosen: Node
    rejected: Node


def pairs(root: Node) -> list[Pair]:
    """Return one pair for each node whose children differ in score: through the best child, and through the worst.

    The right reply is the shortest through the best child, in tokens; the wrong one the shortest through the worst. A
    worst child under which nothing ended wrong, but was cut by a limit, gives no pair.
    """
    found: list[Pair] = []
    for node in root.below():
        if len(node.children) < 2:
            continue
        best, worst = max(node.children, key=_score), min(node.children, key=_score)
        if best.score == worst.score:
            continue
        chosen, rejected = _shortest(best, "right"), _shortest(worst, "wrong")
        if chosen is not None and rejected is not None:
            found.append(Pair(node, chosen, rejected))
    return found


def _score(node: Node) -> float:
    return node.score


def _shortest(root: Node, end: End) -> Node | None:
    return min(replies(root, end), key=lambda node: node.tokens, default=None)


def steps_of(pieces: Sequence[tuple[str, int]], delimiter: str) -> list[Step]:
    """Cut a rollout, given as (text, tokens) pieces, behind each delimiter; blank steps belong to the one before.

    A piece counts where it begins. So the tokens of all steps are those of all pieces.
    """
    text, at, ends = "".join(text for text, _ in pieces), 0, list[int]()
    while (found := text.find(delimiter, at)) >= 0:
        begun, at = at, found + len(delimiter)
        if not text[begun:at].strip() and ends:
            ends[-1] = at
        elif text[begun:at].strip():
            ends.append(at)
        # Blanks at the very beginning belong to the first step that says something.
    if ends and not text[ends[-1] :].strip():
        ends[-1] = len(text)
    else:
        ends.append(len(text))
    starts = list(chain([0], ends[:-1]))
    tokens, where, place = [0] * len(ends), 0, 0
    for piece, count in pieces:
        while place + 1 < len(ends) and where >= ends[place]:
            place += 1
        tokens[place] += count
        where += len(piece)
    return [Step(text[a:b], count) for a, b, count in zip(starts, ends, tokens, strict=True) if b > a or count]
