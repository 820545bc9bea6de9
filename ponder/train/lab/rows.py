"""Lab puzzles as data: conversations to train on, or questions to ask, one JSON object each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ponder.core.errors import DataError, OptionError
from ponder.core.judge import Item, Verifier
from ponder.tasks.arithmetic import QUESTIONS
from ponder.train.lab.arithmetic import ArithmeticFamily
from ponder.train.lab.puzzle import Family, Puzzle
from ponder.train.lab.thought import Overthinking
from ponder.verify.number import Number

HELD_OUT = QUESTIONS
"""The first so many `arithmetic` questions of seed 0, at each level and in each language, are never trained on."""
_PATIENCE = 2000
"""A family that repeats itself so often in a row has run dry."""


def held_out(count: int = HELD_OUT) -> frozenset[str]:
    """Return the `arithmetic` questions that benchmarks ask and training data leaves out, as they are asked."""
    families = [ArithmeticFamily(str(level), language) for level in range(1, 11) for language in ("en", "zh")]
    return frozenset(_asked(item) for family in families for item in family.items(count))


def conversations(
    families: Sequence[Family],
    count: int,
    thinking: Overthinking,
    seed: int = 0,
    without: frozenset[str] | None = None,
) -> Iterator[dict[str, object]]:
    """Yield `count` conversations to train on, the families in turn, each question once and none that tests ask.

    Each has `messages`, the puzzle's `id`, `difficulty`, `language`, `answer` and `minimal` chain, and `exit`: the
    characters of the reply up to where its answer is first derived. `without` holds questions to leave out, as they
    are asked: unless given, what `arithmetic` holds out; the other families leave theirs out by themselves. Raises
    `OptionError` for a family of seed 0, whose questions are those of tests, and `DataError` where a family runs out
    of questions.
    """
    for family in families:
        if family.seed == 0:
            raise OptionError(f"{family.name}: seed 0 makes the questions that tests ask; train on another seed")
    if without is None:
        benchmark = any(isinstance(family, ArithmeticFamily) for family in families)
        without = held_out() if benchmark else frozenset()
    return (_conversation(puzzle, thinking, seed) for puzzle in _in_turn(families, count, without))


def questions(families: Sequence[Family], count: int) -> Iterator[dict[str, object]]:
    """Yield `count` questions for tests, the families in turn, each once: rows that the task `jsonl` reads.

    Beside `id`, `question`, `answer` and `verifier` they hold what the puzzle knows: `difficulty`, `language` and
    the `minimal` chain. Raises `OptionError` for a seed other than 0 and for families whose answers are not judged
    by one verifier, and `DataError` where a family runs out of questions.
    """
    for family in families:
        if family.seed != 0:
            raise OptionError(
                f"{family.name}: seed {family.seed} makes questions to train on; tests ask those of seed 0"
            )
    kinds = {_kind(family.verifier): family.name for family in families}
    if len(kinds) > 1:
        names = " and ".join(kinds.values())
        raise OptionError(f"{names} are judged by different verifiers; give each a file of its own")
    return (_question(puzzle, next(iter(kinds))) for puzzle in _in_turn(families, count, frozenset()))


def fresh(family: Family, without: frozenset[str] = frozenset(), seen: set[str] | None = None) -> Iterator[Puzzle]:
    """Yield puzzles whose questions are neither in `without` nor in `seen`, which takes them in, while there are any.

    Of `arithmetic`, the questions of seed 0 end with those that are held out.
    """
    seen, repeated = set() if seen is None else seen, 0
    for puzzle in family.puzzles(_end(family)):
        text = _asked(puzzle.item)
        if text not in seen and text not in without:
            seen.add(text)
            repeated = 0
            yield puzzle
        elif (repeated := repeated + 1) == _PATIENCE:
            return


def _end(family: Family) -> int | None:
    return HELD_OUT if family.seed == 0 and isinstance(family, ArithmeticFamily) else None


def _in_turn(families: Sequence[Family], count: int, without: frozenset[str]) -> Iterator[Puzzle]:
    seen: set[str] = set()
    sources = [fresh(family, without, seen) for family in families]
    for index in range(count):
        puzzle = next(sources[index % len(sources)], None)
        if puzzle is None:
            name, found = families[index % len(sources)].name, index // len(sources)
            raise DataError(f"{name} has no new question after {found:,}; ask for fewer, or give it wider options")
        yield puzzle


def _asked(item: Item) -> str:
    return item.problem.messages[0].text


def _kind(verifier: Verifier) -> str:
    return "number" if isinstance(verifier, Number) else "exact"


def _conversation(puzzle: Puzzle, thinking: Overthinking, seed: int) -> dict[str, object]:
    thought = thinking.think(puzzle, seed)
    messages = [
        {"role": "user", "content": _asked(puzzle.item)},
        {"role": "assistant", "content": thought.reply(puzzle.answer)},
    ]
    return {
        "messages": messages,
        "id": puzzle.item.problem.id,
        "difficulty": puzzle.difficulty,
        "language": puzzle.language,
        "answer": puzzle.answer,
        "minimal": puzzle.minimal,
        "exit": thought.exit_in_reply,
    }


def _question(puzzle: Puzzle, verifier: str) -> dict[str, object]:
    return {
        "id": puzzle.item.problem.id,
        "question": puzzle.item.meta["question"],
        "answer": puzzle.answer,
        "verifier": verifier,
        "difficulty": puzzle.difficulty,
        "language": puzzle.language,
        "minimal": puzzle.minimal,
    }
