"""Keys and values of what was read, in trees by token ids: two prompts share the work as far as they begin alike.

Each way to compute (which adapters, at which scales) has a tree of its own: what one has read is wrong for another.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

Segment = list[torch.Tensor]
"""Keys and values of a run of tokens: for each layer two tensors (heads, tokens, head size)."""


@dataclass(eq=False, slots=True)
class _Node:
    ids: tuple[int, ...]
    segment: Segment
    parent: _Node | None
    used: int = 0
    children: dict[int, _Node] = field(default_factory=dict)


class PrefixTree:
    """Keeps at most `limit` tokens; what was used longest ago goes first, from the leaves inward."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.tokens = 0
        self._roots: dict[Hashable, _Node] = {}
        self._clock = 0

    def match(self, ids: Sequence[int], way: Hashable = None) -> list[Segment]:
        """Return the keys and values of the longest beginning of `ids` known in one way, in pieces, in order."""
        self._clock += 1
        found: list[Segment] = []
        for node, length in self._walk(ids, way):
            node.used = self._clock
            whole = length == len(node.ids)
            found.append(node.segment if whole else [tensor[:, :length] for tensor in node.segment])
        return found

    def known(self, ids: Sequence[int], way: Hashable = None) -> int:
        """Return how many tokens at the beginning of `ids` are known in one way."""
        return sum(length for _, length in self._walk(ids, way))

    def insert(self, ids: Sequence[int], read: Callable[[int, int], Segment], way: Hashable = None) -> None:
        """Remember `ids` as read in one way; `read(start, end)` copies the keys and values of what is not known yet."""
        self._clock += 1
        node, at = self._roots.setdefault(way, _Node((), [], None)), 0
        for found, length in list(self._walk(ids, way)):
            node = found if length == len(found.ids) else self._split(found, length)
            node.used = self._clock
            at += length
        if at < len(ids):
            node.children[ids[at]] = _Node(tuple(ids[at:]), read(at, len(ids)), node, self._clock)
            self.tokens += len(ids) - at
            self._evict()

    def _walk(self, ids: Sequence[int], way: Hashable) -> Iterator[tuple[_Node, int]]:
        """Yield the nodes along `ids`, each with how many of its tokens agree; only the last may agree in part."""
        node, at = self._roots.get(way, _Node((), [], None)), 0
        while at < len(ids) and (child := node.children.get(ids[at])):
            length = shared(child.ids, ids[at : at + len(child.ids)])
            yield child, length
            if length < len(child.ids):
                return
            node, at = child, at + length

    def _split(self, node: _Node, length: int) -> _Node:
        """Cut a node in two and return the upper one. Both are copies: a view would keep the whole in memory."""
        assert node.parent is not None
        upper = _Node(
            node.ids[:length], [tensor[:, :length].clone() for tensor in node.segment], node.parent, node.used
        )
        node.parent.children[node.ids[0]] = upper
        node.ids, node.parent = node.ids[length:], upper
        node.segment = [tensor[:, length:].clone() for tensor in node.segment]
        upper.children[node.ids[0]] = node
        return upper

    def _evict(self) -> None:
        while self.tokens > self.limit:
            leaf = min(self._leaves(), key=lambda node: node.used)
            assert leaf.parent is not None
            del leaf.parent.children[leaf.ids[0]]
            self.tokens -= len(leaf.ids)
        self._roots = {way: root for way, root in self._roots.items() if root.children}

    def _leaves(self) -> Iterator[_Node]:
        stack = [child for root in self._roots.values() for child in root.children.values()]
        while stack:
            node = stack.pop()
            if node.children:
                stack.extend(node.children.values())
            else:
                yield node


def shared(a: Sequence[int], b: Sequence[int]) -> int:
    """Return how many tokens two sequences have in common at their beginning."""
    # By halves: comparing slices is far quicker than comparing token by token.
    one, two = tuple(a), tuple(b)
    same, over = 0, min(len(one), len(two)) + 1
    while over - same > 1:
        middle = (same + over) // 2
        if one[same:middle] == two[same:middle]:
            same = middle
        else:
            over = middle
    return same
