"""Trains the router `words`: logistic regression on hashed words, and on the shape of a question alone."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ponder.core.errors import DataError
from ponder.routers.state import save_state
from ponder.routers.words import Link
from ponder.text.ngrams import BUCKETS, hashed

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Labelled:
    """A question with what each choice is worth for it, 0 to 1; `source` says where both come from."""

    question: str
    wanted: tuple[float, ...]
    source: str


@dataclass(frozen=True, slots=True)
class Sparse:
    """Feature vectors of many questions: row i has the entries `start[i]` to `start[i + 1]`."""

    buckets: npt.NDArray[np.int64]
    values: Floats
    start: npt.NDArray[np.int64]

    def times(self, weights: Floats) -> Floats:
        """Return the products with weights of shape (choices, buckets), as (rows, choices)."""
        return np.add.reduceat(self.values[:, None] * weights.T[self.buckets], self.start[:-1], axis=0)

    def sums(self, rows: Floats) -> Floats:
        """Return the products of the transposed features with (rows, choices), as (choices, buckets)."""
        spread = np.repeat(rows, np.diff(self.start), axis=0) * self.values[:, None]
        return np.array([np.bincount(self.buckets, spread[:, one], BUCKETS) for one in range(rows.shape[1])])


def sparse(features: Sequence[dict[int, float]]) -> Sparse:
    """Put feature dictionaries side by side; none may be empty."""
    start = np.cumsum([0, *map(len, features)])
    buckets = np.fromiter((bucket for one in features for bucket in one), np.int64, start[-1])
    values = np.fromiter((value for one in features for value in one.values()), np.float64, start[-1])
    return Sparse(buckets, values, start)


def fit(rows: Sequence[Labelled], choices: Sequence[str], link: Link, decay: float = 1e-5, steps: int = 200) -> Floats:
    """Return weights of shape (choices, buckets).

    Every question is seen twice, with its words and by its shape alone, as one in another language will be. With a
    softmax every choice counts the same, however few rows want it. Raises `DataError` for a choice that none wants,
    or that every row wants.
    """
    wanted = np.array([row.wanted for row in rows] * 2, np.float64)
    means = wanted.mean(axis=0) if len(rows) else np.zeros(len(choices))
    if (alike := np.flatnonzero((means <= 0) | (means >= 1))).size:
        raise DataError(f"{choices[alike[0]]} is equally good for all {len(rows)} questions; there is nothing to learn")
    data = sparse([hashed(row.question, words) for words in (True, False) for row in rows])
    share = wanted @ (1 / (means * len(choices))) if link == "softmax" else np.ones(len(wanted))
    weight = (share / len(wanted))[:, None]
    weights, first, second = (np.zeros((len(choices), BUCKETS)) for _ in range(3))
    for step in range(1, steps + 1):
        gradient = data.sums((_shares(data.times(weights), link) - wanted) * weight) + decay * weights
        # Adam, for rare words get steps as large as frequent ones; ever smaller ones, so that it comes to rest.
        first += 0.1 * (gradient - first)
        second += 0.01 * (gradient**2 - second)
        rate = 0.1 * (1 - (step - 1) / steps)
        weights -= rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.99**step)) + 1e-8)
    return weights


def shares(weights: Floats, rows: Sequence[Labelled], link: Link, words: bool = True) -> Floats:
    """Return what each choice is rated for each question, shape (questions, choices)."""
    return _shares(sparse([hashed(row.question, words) for row in rows]).times(weights), link)


def fold_of(row: Labelled, folds: int) -> int:
    """Return the fold of a question; those that begin alike, as variants of one question do, share theirs."""
    return zlib.crc32(row.question[:32].encode("utf-8", "surrogatepass")) % folds


def save(folder: Path | str, weights: Floats, choices: Sequence[str], link: Link, card: Mapping[str, object]) -> None:
    """Write the folder that the router reads, whole or not at all; `card` says in numbers how it was trained."""
    weight = np.ascontiguousarray(weights, np.float32)
    save_state(Path(folder), "words", tuple(choices), {"link": link, **card}, {"weight": weight})


def _shares(sums: Floats, link: Link) -> Floats:
    if link == "sigmoid":
        return 1 / (1 + np.exp(-np.clip(sums, -700, 700)))
    raised = np.exp(sums - sums.max(axis=1, keepdims=True))
    result: Floats = raised / raised.sum(axis=1, keepdims=True)
    return result
