"""When enough votes are in: how sure counts of answers make their leader, and how many samples a rule will take.

Sources: Beta and Dirichlet rules of Adaptive-Consistency (2305.11860), windows of early-stopping self-consistency
(2401.10480).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Literal

Rule = Literal["beta", "dirichlet"]

LEADERS = 5
"""So many of the most frequent answers the Dirichlet rule looks at."""
_POINTS = 400
"""Of the quadrature: with these it agrees with exact fractions to 1e-9."""


def confidence(counts: Sequence[int], rule: Rule) -> float:
    """Return the probability that the most frequent answer is the most likely one; 0 without any answer.

    Fewer than three answers are compared by the Beta distribution, whatever the rule.
    """
    leaders = sorted(counts, reverse=True)
    if not leaders:
        return 0.0
    if rule == "dirichlet" and len(leaders) > 2:
        return dirichlet(leaders[:LEADERS])
    return beta(leaders[0], leaders[1] if len(leaders) > 1 else 0)


def beta(first: int, second: int) -> float:
    """Return P(x > 1/2) for x ~ Beta(first + 1, second + 1), exactly: a sum of binomials."""
    n = first + second + 1
    total, choose = 0, 1
    for j in range(first + 1):
        total += choose
        choose = choose * (n - j) // (j + 1)
    return total / (1 << n)


def dirichlet(counts: Sequence[int]) -> float:
    """Return P(the first share is the largest) for shares ~ Dirichlet(counts + 1).

    Shares are gamma variables over their sum, so this is the integral over x of the first one's density times the
    chance that each other one stays below x.
    """
    first, *others = (count + 1 for count in counts)
    deviation = math.sqrt(first)
    low, high = max(0.0, first - 12 * deviation), first + 14 * deviation + 30
    step = (high - low) / _POINTS
    return math.fsum(step * _first_wins_at(low + i * step, first, others) for i in range(1, _POINTS))


def _first_wins_at(x: float, first: int, others: Sequence[int]) -> float:
    """Return the density of Gamma(first) at x, times the chance that Gamma(a) < x for all others."""
    density = math.exp((first - 1) * math.log(x) - x - math.lgamma(first))
    if density < 1e-18:
        return 0.0
    # Gamma(a) < x says that a Poisson process of rate 1 has at least a events in time x.
    seen, upto = 0.0, [0.0]
    for events in range(max(others)):
        seen += math.exp(events * math.log(x) - x - math.lgamma(events + 1))
        upto.append(seen)
    return density * math.prod(max(0.0, 1 - upto[a]) for a in others)


def settled(counts: Iterable[int], left: int) -> bool:
    """Say whether no `left` further votes can change the leader: not even a tie, which an earlier answer might win."""
    first, second, *_ = [*sorted(counts, reverse=True), 0, 0]
    return first - second > left


def expected_samples(shares: Sequence[float], window: int, most: int) -> float:
    """Return how many samples windows take in the mean, where the answers have these probabilities.

    A window of w agrees with probability Q = sum(p ** w); at most `most` samples, a multiple of `window`, are drawn.
    """
    agrees = math.fsum(p**window for p in shares)
    windows = most // window
    rounds = math.fsum((i + 1) * agrees * (1 - agrees) ** i for i in range(windows - 1))
    return window * (rounds + windows * (1 - agrees) ** (windows - 1))
