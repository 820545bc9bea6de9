"""A router of every kind of the table for any choices: those that need files are trained here, on made-up outcomes."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import cast

from support.arena import outcomes
from support.routed import trained

from ponder.core.judge import Router
from ponder.routers import ROUTERS, find_router
from ponder.routers.causal import CausalClassifier
from ponder.routers.constant import ConstantRouter
from ponder.routers.random import RandomRouter
from ponder.routers.words import WordsRouter
from ponder.train.routers.fit import Kind
from ponder.train.words import Labelled, fit, save

Choices = tuple[str, ...]
ROWS, STEPS = 60, 5
TWO_ONLY = frozenset({"encoder", "causal"})
"""Kinds that tell two choices apart, no more."""


class Routers:
    """Draws routers; what is trained goes into `folder`, once for each kind and choices."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._path = cache(self._train)

    def draw(self, dice: random.Random, choices: Choices) -> Router:
        """Return a router that rates the choices, of a kind drawn at random."""
        kinds = [name for name in ROUTERS if len(choices) == 2 or name not in TWO_ONLY]
        return self.of(dice.choice(kinds), choices, dice)

    def of(self, kind: str, choices: Choices, dice: random.Random) -> Router:
        """Return a router of a kind that rates the choices."""
        by_hand: dict[str, Callable[[], Router]] = {
            "constant": lambda: ConstantRouter(choices, tuple(dice.random() for _ in choices)),
            "random": lambda: RandomRouter(choices, dice.randrange(100)),
            "causal": lambda: CausalClassifier(choices=choices),
            "words": lambda: WordsRouter(self._path("words", choices)),
        }
        if kind in by_hand:
            return by_hand[kind]()
        cls = cast(Callable[..., Router], find_router(kind))
        return cls(self._path(kind, choices))

    def _train(self, kind: str, choices: Choices) -> str:
        folder = self.folder / f"{kind}-{'-'.join(choices)}"
        table = replace(outcomes(ROWS, models=len(choices)), choices=choices)
        assert table.success is not None
        if kind != "words":
            return trained(cast(Kind, kind), table, folder)
        rows = [Labelled(q, tuple(won), "made up") for q, won in zip(table.questions, table.success, strict=True)]
        save(folder, fit(rows, choices, "sigmoid", steps=STEPS), choices, "sigmoid", {})
        return str(folder)
