"""Votes: answers grouped into classes of equal ones, and what each vote weighs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence


def classes(answers: Sequence[str | None], same: Callable[[str, str], bool]) -> list[list[int]]:
    """Group the places of equal answers, in the order in which answers first stand.

    An answer is compared with the first one of each class. None states no answer and is in no class, so that it never
    wins.
    """
    found: list[tuple[str, list[int]]] = []
    for index, answer in enumerate(answers):
        if answer is None:
            continue
        for first, members in found:
            if first == answer or same(first, answer):
                members.append(index)
                break
        else:
            found.append((answer, [index]))
    return [members for _, members in found]


def rank_weights(scores: Sequence[float], power: float = 1.0) -> list[float]:
    """Return Borda weights: the best of n weighs n ** power, the worst 1; equal scores share the mean of their places.

    Only the order of scores counts. `power` 0 is a plain majority; the larger it is, the more the best one decides.
    """
    worst_first = sorted(range(len(scores)), key=scores.__getitem__)
    shares: dict[float, list[float]] = {}
    for place, index in enumerate(worst_first, 1):
        shares.setdefault(scores[index], []).append(place**power)
    means = {score: math.fsum(found) / len(found) for score, found in shares.items()}
    return [means[score] for score in scores]


def exp_weights(scores: Sequence[float]) -> list[float]:
    """Return exp(score), the best one's being 1: any real scores, log-probabilities and logits above all."""
    top = max(scores, default=0.0)
    if math.isinf(top):
        return [float(score == top) for score in scores]
    return [math.exp(score - top) for score in scores]
