"""A race of branches that the first good one wins, on the clock of tokens: a clock on the wall would not repeat.

A branch that is good after L tokens lowers everybody's purse to L + 1: siblings run on to there, since one of them may
still be good with fewer tokens, and no further. Equal seeds have equal winners, however an engine interleaves them.
"""

from __future__ import annotations

from ponder.core.run import Purse


class Race:
    """`purses[i]` pays for branch i."""

    def __init__(self, branches: int) -> None:
        self.purses = [Purse() for _ in range(branches)]
        self._good: list[int] = []

    def lost(self, index: int) -> bool:
        """Whether a branch has more tokens than one that is good: it cannot win any more."""
        return self.purses[index].empty

    def good(self, index: int) -> None:
        """Note that a branch has ended and is good; what has more tokens ends."""
        self._good.append(index)
        bound = min(self.purses[good].spent for good in self._good) + 1
        for purse in self.purses:
            purse.total = bound

    @property
    def winner(self) -> int | None:
        """The good branch with the fewest tokens, of equal ones the first; None as long as there is none."""
        return min(self._good, key=lambda index: (self.purses[index].spent, index), default=None)
