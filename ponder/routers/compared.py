"""Abilities from comparisons: Bradley and Terry's model, and ratings that come from it."""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt

Abilities = npt.NDArray[np.float64]
_RIDGE = 1e-3
"""Draws every ability to 0 a little: one that never lost would have none otherwise."""
_STEPS = 50


def bradley_terry(wins: Abilities) -> Abilities:
    """Return abilities in nats, by penalised maximum likelihood, Newton's method; their mean is 0.

    `wins[a, b]` is how often, or with which weight, a beat b; a tie is half a win of each. P(a beats b) is
    1 / (1 + exp(b - a)) of the abilities: 400 points of Elo are ln 10.
    """
    games, ability = wins + wins.T, np.zeros(len(wins))
    for _ in range(_STEPS):
        chance = logistic(ability[:, None] - ability[None, :])
        slope = (wins - games * chance).sum(axis=1) - _RIDGE * ability
        curve = games * chance * (1 - chance)
        hessian = np.diag(curve.sum(axis=1) + _RIDGE) - curve
        # A step of more than two nats leaves the region in which Newton's parabola fits.
        step = np.clip(np.linalg.solve(hessian, slope), -2, 2)
        ability = ability + step
        if np.abs(step).max(initial=0.0) < 1e-8:
            break
    return cast(Abilities, ability - ability.mean())


def win_rates(choices: tuple[str, ...], ability: npt.NDArray[np.floating]) -> dict[str, float]:
    """Return each choice's chance to win against another choice, from the abilities of the choices."""
    values = np.asarray(ability, np.float64)
    chance = logistic(values[:, None] - values[None, :])
    others = (chance.sum(axis=1) - 0.5) / (len(choices) - 1)
    return {name: float(value) for name, value in zip(choices, others, strict=True)}


def logistic(values: Abilities) -> Abilities:
    """Return 1 / (1 + exp(-x)), written so that no x is too large for it."""
    return (1 + np.tanh(values / 2)) / 2


def elo(ability: float) -> float:
    """Return an ability in nats as points of Elo."""
    return float(ability * 400 / np.log(10))
