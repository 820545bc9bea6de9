"""Where a model that has learnt the lab's chains first derives the answer: an oracle would stop it there."""

from __future__ import annotations

from ponder.train.lab.puzzle import Puzzle


def exit_of(thinking: str, puzzle: Puzzle) -> int | None:
    """Return how many characters of a thought there are up to the end of the line that derives the answer.

    That is the first line that equals the last step of the minimal chain; an intermediate result that happens to equal
    the answer is none. None if no line derives it.
    """
    at = 0
    for line in thinking.splitlines(keepends=True):
        if line.strip() == puzzle.steps[-1].text:
            return at + len(line.rstrip())
        at += len(line)
    return None
