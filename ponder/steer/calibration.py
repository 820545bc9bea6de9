"""What scores mean, measured beforehand: which share of questions lies below one, and how many of them are right.

A calibration holds numbers and names, and no text of any question (2502.04428; 2110.01052 for the guarantee).
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import comb, inf, isinf
from pathlib import Path
from typing import NamedTuple

from ponder.core.errors import DataError

FORMAT = 1
BINS = 10
"""Of the histogram that a small set of questions is drawn by."""


class Accepted(NamedTuple):
    """The lowest threshold that passed: the share of questions sent on, harms among `n`, and their p-value.

    Without one, everything is sent on: the threshold is infinity.
    """

    threshold: float
    share: float
    harms: int
    p: float


@dataclass(frozen=True, slots=True)
class Calibration:
    """Scores of a weak way to answer, whether it was right (1 or 0), and whether a strong one was, by question.

    `names` says what was measured: the model, the scorer and the tasks.
    """

    scores: tuple[float, ...]
    weak: tuple[int, ...]
    strong: tuple[int, ...] = ()
    names: Mapping[str, str] = field(default_factory=dict, hash=False)

    def threshold(self, share: float) -> float:
        """Return the score below which this share of questions lies; equal scores are never parted."""
        ranked = sorted(self.scores)
        below = round(share * len(ranked))
        if below == 0:
            return -inf
        if below == len(ranked):
            return inf
        low, high = ranked[below - 1], ranked[below]
        return high if isinf(low) else (low + high) / 2

    def accuracy(self, threshold: float) -> tuple[float, float]:
        """Return the share of questions that is sent on at a threshold, and the accuracy of the whole."""
        sent = [score < threshold for score in self.scores]
        strong = self.strong or (0,) * len(self.scores)
        right = sum(b if on else a for a, b, on in zip(self.weak, strong, sent, strict=True))
        return sum(sent) / len(sent), right / len(sent)

    def auc(self) -> float:
        """Return the chance that a right answer is scored above a wrong one, ties counted half; 0.5 is no use."""
        return auc(self.scores, self.weak)

    def certified(self, epsilon: float, delta: float) -> Accepted:
        """Return the lowest threshold at which at most `epsilon` of all questions are harmed, at confidence 1 - delta.

        Harmed is a question that the strong way would have answered rightly and the weak one, kept, does not. The
        thresholds are tried from sending everything on downwards, and the walk ends at the first that fails
        (fixed-sequence testing, exact binomial p-values).
        """
        order = sorted(range(len(self.scores)), key=self.scores.__getitem__, reverse=True)
        best, harms, n = Accepted(inf, 1.0, 0, 0.0), 0, len(order)
        for kept, index in enumerate(order, 1):
            harms += self.strong[index] == 1 and self.weak[index] == 0
            if kept < n and self.scores[order[kept]] == self.scores[index]:
                continue
            p = binomial_tail(harms, n, epsilon)
            if p > delta:
                break
            best = Accepted(self.scores[index], 1 - kept / n, harms, p)
        return best


def auc(scores: Sequence[float], right: Sequence[int]) -> float:
    """Return the area under the ROC curve by ranks; 0.5 where all answers are right, or none."""
    ranked = sorted(zip(scores, right, strict=True))
    ranks, start = 0.0, 0
    while start < len(ranked):
        end = start
        while end < len(ranked) and ranked[end][0] == ranked[start][0]:
            end += 1
        ranks += sum(mark for _, mark in ranked[start:end]) * (start + 1 + end) / 2
        start = end
    good = sum(right)
    bad = len(right) - good
    return (ranks - good * (good + 1) / 2) / (good * bad) if good and bad else 0.5


def binomial_tail(successes: int, n: int, chance: float) -> float:
    """Return P[Bin(n, chance) <= successes], exactly up to rounding."""
    return min(1.0, sum(comb(n, k) * chance**k * (1 - chance) ** (n - k) for k in range(successes + 1)))


def proportional(scores: Sequence[float], n: int, bins: int = BINS, seed: int = 0) -> list[int]:
    """Return the places of `n` scores, drawn from each bin of their histogram in proportion to what it holds.

    The bins are equally wide, from the least finite score to the greatest; minus infinity is a bin of its own. Each
    gets its share to within one (largest remainders).
    """
    finite = [score for score in scores if not isinf(score)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    places: dict[int, list[int]] = {}
    for place, score in enumerate(scores):
        inside = min(bins - 1, int((score - low) / (high - low) * bins)) if high > low and not isinf(score) else 0
        places.setdefault(-1 if isinf(score) else inside, []).append(place)
    wanted = min(n, len(scores))
    quotas = {one: wanted * len(held) / len(scores) for one, held in places.items()}
    counts = {one: int(quota) for one, quota in quotas.items()}
    left = wanted - sum(counts.values())
    for one in sorted(quotas, key=lambda one: counts[one] - quotas[one])[:left]:
        counts[one] += 1
    dice = random.Random(seed)
    return sorted(place for one, held in sorted(places.items()) for place in dice.sample(held, counts[one]))


def save(path: Path, found: Calibration) -> None:
    """Write a calibration as TOML."""
    import tomli_w

    table = {
        "kind": "calibration",
        "format": FORMAT,
        "names": dict(found.names),
        "scores": list(found.scores),
        "weak": list(found.weak),
        "strong": list(found.strong),
    }
    path.write_text(tomli_w.dumps(table), "utf-8")


def load(path: Path) -> Calibration:
    """Read a calibration. Raises `DataError` that says what is wrong with it."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); name the file of a calibration") from None
    if table.get("kind") != "calibration" or table.get("format") != FORMAT:
        raise DataError(
            f"{path} is a {table.get('kind')!r} of format {table.get('format')!r}, and what is read here is a "
            f"calibration of format {FORMAT}; measure it anew"
        )
    scores, weak, strong = (table.get(name, []) for name in ("scores", "weak", "strong"))
    numbers = all(isinstance(score, int | float) and score == score for score in scores)
    marks = all(mark in (0, 1) for mark in [*weak, *strong])
    if not scores or not numbers or not marks or len(weak) != len(scores) or len(strong) not in (0, len(scores)):
        raise DataError(f"{path} must hold scores, and as many marks of 0 or 1 in weak, and in strong or none there")
    names = {str(name): str(value) for name, value in table.get("names", {}).items()}
    return Calibration(tuple(map(float, scores)), tuple(weak), tuple(strong), names)
