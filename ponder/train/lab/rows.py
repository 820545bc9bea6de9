"""Lab puzzles as data: conversations to train on, or questions to ask, one JSON object each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

from ponder.train.lab.arithmetic import ArithmeticFamily
from ponder.train.lab.puzzle import Family, Puzzle
from ponder.train.lab.thought import Overthinking

HELD_OUT = 1000
"""The first so many `arithmetic` questions of seed 0, at each level and in each language, are never trained on."""


def held_out(count: int = HELD_OUT) -> frozenset[str]:
    """Return the questions that benchmarks ask and training data leaves out, as they are asked."""
    families = [ArithmeticFamily(str(level), language) for level in range(1, 11) for language in ("en", "zh")]
    return frozenset(item.problem.messages[0].text for family in families for item in family.items(count))


def conversations(
    families: Sequence[Family], count: int, thinking: Overthinking, seed: int = 0, without: frozenset[str] = frozenset()
) -> Iterator[dict[str, object]]:
    """Yield `count` conversations to train on, the families in turn, each question once.

    Each has `messages`, the puzzle's `id`, `difficulty`, `language`, `answer` and `minimal` chain, and `exit`: the
    characters of the reply up to where its answer is first derived. `without` holds questions to leave out.
    """
    for puzzle in islice(_fresh(_in_turn(families), without), count):
        thought = thinking.think(puzzle, seed)
        messages = [
            {"role": "user", "content": puzzle.item.problem.messages[0].text},
            {"role": "assistant", "content": thought.reply(puzzle.answer)},
        ]
        yield {"messages": messages, **_facts(puzzle), "exit": thought.exit_in_reply}


def _in_turn(families: Sequence[Family]) -> Iterator[Puzzle]:
    sources = [family.puzzles() for family in families]
    while True:
        for source in sources:
            yield next(source)


def _fresh(puzzles: Iterable[Puzzle], without: frozenset[str]) -> Iterator[Puzzle]:
    """Yield puzzles that were not seen before and are not held out."""
    seen: set[str] = set()
    for puzzle in puzzles:
        text = puzzle.item.problem.messages[0].text
        if text not in seen and text not in without:
            seen.add(text)
            yield puzzle


def _facts(puzzle: Puzzle) -> dict[str, object]:
    return {
        "id": puzzle.item.problem.id,
        "difficulty": puzzle.difficulty,
        "language": puzzle.language,
        "answer": puzzle.answer,
        "minimal": puzzle.minimal,
    }
