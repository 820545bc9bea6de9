"""Notes in the trace where calls stand in a tree of replies: what goes on from what, how it scored, what is kept."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from ponder.core.run import Call, Run
from ponder.core.trace import Fate, Place

if TYPE_CHECKING:
    from ponder.steer.branch import Branch


def plant(run: Run, call: Call, after: int | None = None, fate: Fate = "open") -> int | None:
    """Note a call that goes on from the one with number `after`, and return its own number.

    That is None for a call that was made of several, or never took place.
    """
    calls = run.trace.calls
    # It has just ended, so that it is one of the last.
    number = next((number for number in range(len(calls) - 1, -1, -1) if calls[number] is call), None)
    if number is not None:
        run.trace.tree[number] = Place(after, fate=fate)
    return number


def place_of(run: Run, number: int | None) -> Place:
    """Return the place of a call; of one that has none, one that nobody looks at."""
    return run.trace.tree.get(-1 if number is None else number, Place())


def prune(run: Run, grown: Sequence[Branch], kept: Iterable[Branch]) -> None:
    """Note which of the branches that have grown are dropped for good."""
    stay = {branch.at for branch in kept}
    for branch in grown:
        if branch.at not in stay:
            place_of(run, branch.at).fate = "pruned"
