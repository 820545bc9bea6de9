"""Models into tiers of about equal ability, so that a choice learns from all models of its tier (2406.18665)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ponder.core.errors import DataError
from ponder.routers.compared import bradley_terry
from ponder.train.routers.table import Battles, Indices, Numbers

TIERS = 10
"""The paper's number."""


def abilities(battles: Battles) -> Numbers:
    """Return each model's ability in nats, over all comparisons; ties count half."""
    count = len(battles.models)
    wins = np.zeros((count, count))
    np.add.at(wins, (battles.first, battles.second), battles.won)
    np.add.at(wins, (battles.second, battles.first), 1 - battles.won)
    return bradley_terry(wins)


def tiers(ability: Sequence[float] | Numbers, count: int = TIERS) -> Indices:
    """Return each model's tier, 0 being the weakest: the cut into `count` with the least variance within tiers.

    The best cut is found by dynamic programming over the sorted abilities. Where there are no more models than tiers,
    each has one of its own.
    """
    values = np.asarray(ability, np.float64)
    order = np.argsort(values, kind="stable")
    ranked, size = values[order], len(values)
    count = min(count, size)
    best = [[math.inf] * (size + 1) for _ in range(count + 1)]
    cut = [[0] * (size + 1) for _ in range(count + 1)]
    best[0][0] = 0.0
    for tier in range(1, count + 1):
        for end in range(tier, size + 1):
            for start in range(tier - 1, end):
                cost = best[tier - 1][start] + _spread(ranked[start:end])
                if cost < best[tier][end]:
                    best[tier][end], cut[tier][end] = cost, start
    found, end = np.zeros(size, np.intp), size
    for tier in range(count, 0, -1):
        start = cut[tier][end]
        found[order[start:end]] = tier - 1
        end = start
    return found


def _spread(values: Numbers) -> float:
    return float(((values - values.mean()) ** 2).sum())


def tiers_of(choices: Sequence[str], models: Sequence[str], found: Indices) -> Indices:
    """Return the tier of each choice. Raises `DataError` for a choice that nobody compared, and for two in one tier."""
    missing = [name for name in choices if name not in models]
    if missing:
        raise DataError(f"no row compares {missing[0]!r}; name choices among {', '.join(sorted(models))}")
    chosen = found[[models.index(name) for name in choices]]
    if len(set(chosen.tolist())) < len(chosen):
        raise DataError(
            f"{' and '.join(choices)} are about equally good and share a tier, so there is nothing to route between; "
            "name others, or take more --tiers"
        )
    return chosen
