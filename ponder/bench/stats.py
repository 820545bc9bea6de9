"""Intervals and tests for paired comparisons: Wilson, McNemar, bootstrap over questions, non-inferiority, Holm.

Sources: Wilson 1927; McNemar 1947, mid-p after Fagerland, Lydersen and Laake 2013; Efron 1979; Holm 1979.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from ponder.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]
    Indices = NDArray[np.int64]

REPLICATES = 10_000
_CHUNK = 1 << 18
"""Indices drawn at once: 2 MB, whatever the number of questions."""


class Interval(NamedTuple):
    """A two-sided confidence interval."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A statistic of the data with its bootstrap interval."""

    value: float
    interval: Interval


class McNemar(NamedTuple):
    """Two-sided p-values for two arms with one sample each."""

    exact: float
    mid_p: float
    chi2_corrected: float
    chi2: float


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return Wilson's interval for a share of `n` independent trials; `(0, 1)` for no trial at all."""
    if not 0 <= successes <= n:
        raise DataError(f"{successes} right answers of {n} questions cannot be; count each question once")
    if n == 0:
        return Interval(0.0, 1.0)
    z, share = _z(confidence), successes / n
    scale = 1 + z * z / n
    centre = (share + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # Rounding alone can push a bound past the share at 0 and at n.
    return Interval(min(max(0.0, centre - half), share), max(min(1.0, centre + half), share))


def mcnemar(only_first: int, only_second: int) -> McNemar:
    """Return p-values from the questions that exactly one arm answered rightly; all 1 where there is none."""
    n, smaller = only_first + only_second, min(only_first, only_second)
    if n == 0:
        return McNemar(1.0, 1.0, 1.0, 1.0)
    below, at = 0, 1
    # Each binomial from the one before: computing them one by one takes minutes for ten thousand questions.
    for i in range(smaller):
        below += at
        at = at * (n - i) // (i + 1)
    gap = abs(only_first - only_second)
    return McNemar(
        exact=min(1.0, 2 * (below + at) / 2**n),
        mid_p=min(1.0, (2 * below + at) / 2**n),
        chi2_corrected=_chi2_tail(max(0, gap - 1) ** 2 / n),
        chi2=_chi2_tail(gap**2 / n),
    )


def paired_score_interval(both: int, only_new: int, only_base: int, neither: int, confidence: float = 0.95) -> Interval:
    """Return Newcombe's score interval (1998, method 10) for accuracy(new) - accuracy(base), one sample each.

    Unlike a bootstrap it has a width where the arms never differed: few questions without a loss exclude no loss.
    """
    n = both + only_new + only_base + neither
    new, base = both + only_new, both + only_base
    a, b = wilson(new, n, confidence), wilson(base, n, confidence)
    if n == 0:
        return Interval(-1.0, 1.0)
    p, q = new / n, base / n
    spread = math.sqrt(new * (n - new) * base * (n - base))
    together = both * neither - only_new * only_base
    # Newcombe's continuity correction of a positive correlation.
    correlation = (max(0.0, together - n / 2) if together > 0 else together) / spread if spread else 0.0

    def reach(x: float, y: float) -> float:
        return math.sqrt(max(0.0, x * x - 2 * correlation * x * y + y * y))

    low, high = reach(p - a.low, b.high - q), reach(a.high - p, q - b.low)
    return Interval(max(-1.0, p - q - low), min(1.0, p - q + high))


def resampled_indices(n: int, replicates: int = REPLICATES, seed: int = 0) -> Iterator[Indices]:
    """Yield the rows of `default_rng(seed).integers(0, n, (replicates, n))` in blocks that stay small."""
    import numpy as np

    if n < 1:
        raise DataError("a bootstrap needs at least one question")
    generator = np.random.default_rng(seed)
    rows = max(1, _CHUNK // n)
    for start in range(0, replicates, rows):
        yield generator.integers(0, n, (min(rows, replicates - start), n))


def resampled_means(columns: Sequence[ArrayLike], replicates: int = REPLICATES, seed: int = 0) -> Floats:
    """Return the means of several columns over the same resampled questions, shape (replicates, columns).

    Row i of every column belongs to the same question, so the columns stay paired, arm with arm and accuracy with
    tokens. Several samples of one question enter as their mean (`question_means`): the question is the cluster.
    """
    import numpy as np

    values = [np.ascontiguousarray(column, dtype=np.float64) for column in columns]
    n = _common_length(values)
    means = np.empty((replicates, len(values)))
    done = 0
    for drawn in resampled_indices(n, replicates, seed):
        rows = len(drawn)
        drawn += (np.arange(rows) * n)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        for position, column in enumerate(values):
            means[done : done + rows, position] = counts @ column / n
        done += rows
    return means


def bootstrap(
    statistic: Callable[[Indices], float], n: int, replicates: int = REPLICATES, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """Return any statistic of question indices, shape (n,), with its interval; for what is no function of means."""
    import numpy as np

    found = [statistic(row) for block in resampled_indices(n, replicates, seed) for row in block]
    return Estimate(statistic(np.arange(n)), percentile_interval(found, confidence))


def difference(
    new: ArrayLike, base: ArrayLike, replicates: int = REPLICATES, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """Return mean(new) - mean(base) with its paired interval; both hold one number for each question."""
    means = resampled_means([new, base], replicates, seed)
    return Estimate(_mean(new) - _mean(base), percentile_interval(means[:, 0] - means[:, 1], confidence))


def ratio(
    new: ArrayLike, base: ArrayLike, replicates: int = REPLICATES, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """Return mean(new) / mean(base), the ratio of means, with its paired interval. `base` must be positive."""
    if _mean(base) <= 0:
        raise DataError("a ratio needs a baseline above zero; the baseline generated no tokens")
    means = resampled_means([new, base], replicates, seed)
    # A replicate that drew only zeros has no ratio; leaving it out would hide it, infinity keeps it at the end.
    return Estimate(_mean(new) / _mean(base), percentile_interval(safe_ratio(means[:, 0], means[:, 1]), confidence))


def saving(
    new: ArrayLike, base: ArrayLike, replicates: int = REPLICATES, seed: int = 0, confidence: float = 0.95
) -> Estimate:
    """Return 1 - ratio of means: the share of the baseline's tokens that was not spent."""
    value, (low, high) = ratio(new, base, replicates, seed, confidence)
    return Estimate(1 - value, Interval(1 - high, 1 - low))


def safe_ratio(numerator: Floats, denominator: Floats) -> Floats:
    """Divide element by element; x / 0 is infinity, 0 / 0 is 1 (nothing against nothing)."""
    import numpy as np

    quotient = np.where(numerator == 0, 1.0, np.inf)
    np.divide(numerator, denominator, out=quotient, where=denominator != 0)
    return quotient


def percentile_interval(replicates: ArrayLike, confidence: float = 0.95) -> Interval:
    """Return the central percentile interval of bootstrap replicates, linearly interpolated."""
    import numpy as np

    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(np.asarray(replicates, dtype=np.float64), [tail, 100 - tail])
    return Interval(float(low), float(high))


def question_means(question: ArrayLike, values: ArrayLike, n: int) -> Floats:
    """Return the mean of `values` for each question index 0 to n - 1; NaN where a question has no value."""
    import numpy as np

    index = np.asarray(question, dtype=np.int64)
    totals = np.bincount(index, weights=np.asarray(values, dtype=np.float64), minlength=n)
    counts = np.bincount(index, minlength=n)
    means = np.full(n, np.nan)
    np.divide(totals, counts, out=means, where=counts > 0)
    return means


def non_inferior(change: Interval, margin: float) -> bool:
    """Say whether an accuracy change is above -margin even at its lower bound; `margin` is fixed beforehand."""
    # A bound that differs from the margin by rounding alone lies on it, not above it.
    return change.low > -margin + 1e-9


def questions_to_see(change: float, discordant: float, power: float = 0.8, confidence: float = 0.95) -> int:
    """Return how many questions show a change when a share `discordant` of them differs between the arms."""
    if not 0 < abs(change) <= discordant <= 1:
        raise DataError(f"a change of {change} needs at least that share of differing questions, not {discordant}")
    spread = _z(confidence) * math.sqrt(discordant) + NormalDist().inv_cdf(power) * math.sqrt(discordant - change**2)
    return math.ceil(spread**2 / change**2)


def questions_for_margin(margin: float, discordant: float, power: float = 0.8, confidence: float = 0.95) -> int:
    """Return how many questions show non-inferiority at `margin` when the arms are truly equal.

    However rarely the arms differ, it takes as many as exclude a loss of `margin` by showing none (Wilson).
    """
    if not 0 < margin < 1:
        raise DataError(f"a non-inferiority margin must be above 0 and below 1, not {margin}")
    z = _z(confidence)
    without_loss = z * z * (1 - margin) / margin
    return math.ceil(max(without_loss, (z + NormalDist().inv_cdf(power)) ** 2 * discordant / margin**2))


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values adjusted for the number of tests, in the given order."""
    adjusted, worst = [1.0] * len(p_values), 0.0
    for rank, position in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        worst = max(worst, min(1.0, p_values[position] * (len(p_values) - rank)))
        adjusted[position] = worst
    return adjusted


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


def _chi2_tail(value: float) -> float:
    """Upper tail of chi-squared with one degree of freedom."""
    return math.erfc(math.sqrt(value / 2))


def _mean(values: ArrayLike) -> float:
    import numpy as np

    return float(np.mean(np.asarray(values, dtype=np.float64)))


def _common_length(columns: Sequence[Floats]) -> int:
    lengths = {len(column) for column in columns}
    if len(lengths) != 1:
        raise DataError(f"paired columns must be equally long, not {sorted(lengths)}; pair them by question first")
    return lengths.pop()
