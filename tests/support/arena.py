"""Made-up questions, outcomes and comparisons, in which it is known what a router could find out."""

from __future__ import annotations

import numpy as np

from ponder.train.routers.table import Battles, Table

EASY = ("add", "count", "name", "spell")
HARD = ("prove", "integrate", "derive", "factorise")


def question(hard: bool, dice: np.random.Generator) -> str:
    """Return a question whose first word tells whether it is hard."""
    word = dice.choice(HARD if hard else EASY)
    return f"Please {word} the item {' '.join(str(n) for n in dice.integers(0, 1000, 6))}."


def outcomes(rows: int, seed: int = 0, models: int = 2) -> Table:
    """Return a table in which the weak choice fails on nine of ten hard questions, and the strong one on one of ten."""
    dice = np.random.default_rng(seed)
    hard = dice.random(rows) < 0.5
    chance = np.where(hard[:, None], np.linspace(0.1, 0.9, models), 0.9)
    success = (dice.random((rows, models)) < chance).astype(float)
    names = ("weak", "strong") if models == 2 else tuple(f"m{i}" for i in range(models))
    texts = tuple(question(bool(each), dice) for each in hard)
    return Table(names, texts, tuple("hard" if each else "easy" for each in hard), success=success)


def arena(rows: int, seed: int = 0, models: int = 12) -> Table:
    """Return comparisons of models of growing ability: on hard questions it decides, on easy ones hardly."""
    dice = np.random.default_rng(seed)
    ability = np.linspace(-2, 2, models)
    first = dice.integers(0, models, rows)
    second = (first + dice.integers(1, models, rows)) % models
    hard = dice.random(rows) < 0.5
    chance = 1 / (1 + np.exp((ability[second] - ability[first]) * np.where(hard, 2.0, 0.1)))
    won = np.where(dice.random(rows) < 0.1, 0.5, (dice.random(rows) < chance).astype(float))
    names = tuple("weak" if i == 1 else "strong" if i == models - 2 else f"m{i:02}" for i in range(models))
    texts = tuple(question(bool(each), dice) for each in hard)
    return Table(("weak", "strong"), texts, battles=Battles(names, first, second, won))
