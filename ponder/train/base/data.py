"""Lab questions as conversations to learn: copying, then minimal chains, then thoughts that overdo it."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from ponder.train.base.measure import Exam
from ponder.train.base.recipe import Recipe
from ponder.train.lab.arithmetic import ArithmeticFamily
from ponder.train.lab.puzzle import Puzzle
from ponder.train.lab.rows import HELD_OUT, held_out
from ponder.train.lab.table import load_family
from ponder.train.lab.thought import Overthinking, minimal
from ponder.train.loops.messages import Conversation, Stage

_SAMPLE = 6000
"""Rows of each stage that a tokenizer is learnt from."""
_ATOM = re.compile(r"\d| ?[^\W\d]+|[^\w\s]")
_ECHO = (1, 14)
"""Fewest and most pieces of an echo."""
_RESULT = 3
"""Most pieces of a result that is drilled."""
_FEW = 50
"""Steps below which a family has no short results to drill."""
_ROLES = "system\nuser\nassistant\n"


def make_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """Return the stages, without those that have no rows: basics, minimal chains, thoughts that overdo it.

    A fifth of the rows of the second stage are drills, which would else be forgotten before chains make use of them.
    Both stages that think ask the same questions.
    """
    puzzles = list(islice(_puzzles(recipe), max(recipe.chains, recipe.thoughts)))
    draw = random.Random(f"base/{recipe.seed}")
    chains = [_row(puzzle, draw, recipe, brief=1.0, direct=0.0) for puzzle in puzzles[: recipe.chains]]
    thoughts = [_row(puzzle, draw, recipe, recipe.brief, recipe.direct) for puzzle in puzzles[: recipe.thoughts]]
    again = len(chains) // 4 if recipe.drills else 0
    steps = list(_drills(recipe, recipe.drills + again))
    stages = (
        Stage("basics", (*steps[: recipe.drills], *_echoes(recipe))),
        Stage("chains", (*chains, *steps[recipe.drills :])),
        Stage("thoughts", tuple(thoughts)),
    )
    return tuple(stage for stage in stages if stage.rows)


def make_exams(recipe: Recipe, count: int) -> list[Exam]:
    """Return `count` questions of each family that no training asks: those of seed 0."""
    families = [load_family(spec) for spec in recipe.families]
    return [Exam(family.name, family.verifier, list(family.puzzles(min(count, HELD_OUT)))) for family in families]


def tokenizer_texts(stages: Sequence[Stage]) -> Iterator[str]:
    """Yield what a tokenizer is to be learnt from: the conversations, without marks, and each symbol by itself.

    Symbols that stand together in formulas would else become one token, and formulas are rearranged.
    """
    for stage in stages:
        for row in stage.rows[:_SAMPLE]:
            yield _ROLES
            for _, text in row.messages:
                plain = text.replace("<think>", "").replace("</think>", "")
                yield re.sub(r"(?<=[^\w\s])(?=[^\w\s])", "\n", plain)


def _puzzles(recipe: Recipe) -> Iterator[Puzzle]:
    """Yield puzzles of the families in turn. Easy questions come again and again: there are few of them."""
    families = [load_family(spec, recipe.seed) for spec in recipe.families]
    kept = held_out() if any(isinstance(family, ArithmeticFamily) for family in families) else frozenset()
    sources = [family.puzzles() for family in families]
    while True:
        for source in sources:
            yield next(puzzle for puzzle in source if _asked(puzzle) not in kept)


def _echoes(recipe: Recipe) -> Iterator[Conversation]:
    """Yield random pieces of chains that are to be repeated: nothing but copying, on which chains build.

    A chain copies much, yet little of it that could not be guessed: from chains alone, copying is learnt far later.
    """
    draw = random.Random(f"echoes/{recipe.seed}")
    chains = (puzzle.minimal for puzzle in islice(_puzzles(recipe), _SAMPLE if recipe.echoes else 0))
    atoms = sorted({atom for chain in chains for atom in _ATOM.findall(chain)})
    for _ in range(recipe.echoes):
        text = "".join(draw.choices(atoms, k=draw.randint(*_ECHO))).strip()
        yield Conversation((("user", text), ("assistant", text)))


def _drills(recipe: Recipe, count: int) -> Iterator[Conversation]:
    """Yield single steps out of chains: what a step starts from is given, and its result is the reply.

    Sums and turns are tables of two operands, each of which tells nothing without the other. In the long context of a
    chain that is found late, in one of a few tokens within a minute; and rows with more than a result to learn drown
    it.
    """
    steps: dict[str, list[Conversation]] = {}
    for puzzle in islice(_puzzles(recipe), _SAMPLE if count else 0):
        short = (step for step in _steps(puzzle) if len(_ATOM.findall(step.messages[1][1])) <= _RESULT)
        steps.setdefault(_family(puzzle), []).extend(short)
    families = sorted(family for family, some in steps.items() if len(some) >= _FEW)
    draw = random.Random(f"drills/{recipe.seed}")
    # Families alike: long chains have more steps, and not the harder ones.
    return (draw.choice(steps[draw.choice(families)]) for _ in range(count if families else 0))


def _steps(puzzle: Puzzle) -> Iterator[Conversation]:
    """Yield the steps of a chain: an equality's result behind its left side, another step behind the one before it.

    What follows a colon is left to be done and no result: it is copied.
    """
    before = puzzle.given
    for step in puzzle.steps:
        left, equals, right = step.text.partition("=")
        other = f"{before}\n", step.text.partition(":")[0]
        given, result = (left + equals, right.partition(",")[0]) if equals else other
        yield Conversation((("user", _family(puzzle)), ("assistant", result)), given=given)
        before = step.text


def _row(puzzle: Puzzle, draw: random.Random, recipe: Recipe, brief: float, direct: float) -> Conversation:
    """Return a conversation; `direct` is the share of answers without thought, `brief` that of minimal thoughts."""
    question = puzzle.item.meta["question"] if draw.random() < recipe.bare else _asked(puzzle)
    if draw.random() < direct:
        return Conversation((("user", question), ("assistant", f"\\boxed{{{puzzle.answer}}}")), thinking=False)
    overdone = draw.random() >= brief
    thought = Overthinking(recipe.passes, recipe.slips).think(puzzle, recipe.seed) if overdone else minimal(puzzle)
    return Conversation((("user", question), ("assistant", thought.reply(puzzle.answer))))


def _family(puzzle: Puzzle) -> str:
    return puzzle.item.problem.id.partition("-")[0]


def _asked(puzzle: Puzzle) -> str:
    return puzzle.item.problem.messages[0].text
