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
_ECHO = (4, 14)
"""Fewest and most pieces of an echo."""
_ROLES = "system\nuser\nassistant\n"


def make_echoes(recipe: Recipe) -> Stage:
    """Return random pieces of chains, and as the reply the same twice: nothing but copying, on which chains build.

    A chain copies much, yet little of it that could not be guessed: from chains alone, copying is learnt far later.
    """
    draw = random.Random(f"echoes/{recipe.seed}")
    chains = (puzzle.minimal for puzzle in islice(_puzzles(recipe), _SAMPLE if recipe.echoes else 0))
    atoms = sorted({atom for chain in chains for atom in _ATOM.findall(chain)})
    texts = ("".join(draw.choices(atoms, k=draw.randint(*_ECHO))).strip() for _ in range(recipe.echoes))
    rows = (Conversation((("user", text), ("assistant", f"{text}\n{text}"))) for text in texts)
    return Stage("echoes", tuple(rows))


def make_drills(recipe: Recipe) -> Stage:
    """Return single steps out of chains: what a step starts from is given, and the step is the reply.

    Sums and turns are tables of two operands, each of which tells nothing without the other. In the long context of a
    chain, that is hardly ever found; in one of a few tokens, it is.
    """
    if not recipe.drills:
        return Stage("drills", ())
    steps: dict[str, list[Conversation]] = {}
    for puzzle in islice(_puzzles(recipe), _SAMPLE):
        steps.setdefault(_family(puzzle), []).extend(_steps(puzzle))
    draw = random.Random(f"drills/{recipe.seed}")
    # Families alike: long chains have more steps, and not the harder ones.
    return Stage("drills", tuple(draw.choice(steps[draw.choice(sorted(steps))]) for _ in range(recipe.drills)))


def make_stages(recipe: Recipe) -> tuple[Stage, ...]:
    """Return the stages that think, without one that has no rows; both ask the same questions."""
    puzzles = list(islice(_puzzles(recipe), max(recipe.chains, recipe.thoughts)))
    draw = random.Random(f"base/{recipe.seed}")
    chains = tuple(_row(recipe, puzzle, draw, brief=1.0) for puzzle in puzzles[: recipe.chains])
    thoughts = tuple(_row(recipe, puzzle, draw, brief=recipe.brief) for puzzle in puzzles[: recipe.thoughts])
    return tuple(stage for stage in (Stage("chains", chains), Stage("thoughts", thoughts)) if stage.rows)


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


def _steps(puzzle: Puzzle) -> Iterator[Conversation]:
    """Yield the steps of a chain: an equality from its left-hand side, any other step from the one before it."""
    before = puzzle.given
    for step in puzzle.steps:
        left, equals, _ = step.text.partition("=")
        yield Conversation((("user", f"{_family(puzzle)}: {left if equals else before}"), ("assistant", step.text)))
        before = step.text


def _row(recipe: Recipe, puzzle: Puzzle, draw: random.Random, brief: float) -> Conversation:
    """Return a conversation; `brief` is the share of minimal chains among those that think."""
    question = puzzle.item.meta["question"] if draw.random() < recipe.bare else _asked(puzzle)
    if draw.random() < recipe.direct:
        return Conversation((("user", question), ("assistant", f"\\boxed{{{puzzle.answer}}}")), thinking=False)
    overdone = draw.random() >= brief
    thought = Overthinking(recipe.passes, recipe.slips).think(puzzle, recipe.seed) if overdone else minimal(puzzle)
    return Conversation((("user", question), ("assistant", thought.reply(puzzle.answer))))


def _family(puzzle: Puzzle) -> str:
    return puzzle.item.problem.id.partition("-")[0]


def _asked(puzzle: Puzzle) -> str:
    return puzzle.item.problem.messages[0].text
