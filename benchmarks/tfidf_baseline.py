"""The baseline of the router study: tf-idf of words, and a logistic regression of "only the strong choice is right".

What scikit-learn's `TfidfVectorizer` and `LogisticRegression` do as they come, on numpy alone.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from ponder.train.routers.minimise import Vector, minimise

Numbers = npt.NDArray[np.float64]
Indices = npt.NDArray[np.intp]
_WORD = re.compile(r"(?u)\b\w\w+\b")


class Words:
    """Sparse counts of all texts: the row, the column and the count of each word of each text."""

    def __init__(self, texts: Sequence[str]) -> None:
        columns: dict[str, int] = {}
        cells = [
            (row, columns.setdefault(word, len(columns)), count)
            for row, text in enumerate(texts)
            for word, count in Counter(_WORD.findall(text.lower())).items()
        ]
        table = np.array(cells)
        self.row, self.column, self.count = table[:, 0], table[:, 1], table[:, 2].astype(float)
        self.rows, self.columns = len(texts), len(columns)

    def probabilities(self, wanted: Numbers, learnt: Indices) -> Numbers:
        """Return the probability of `wanted` for all rows, from a fit on the rows `learnt` with penalty C = 1."""
        inside = np.zeros(self.rows, bool)
        inside[learnt] = True
        mine = inside[self.row]
        seen = np.bincount(self.column[mine], minlength=self.columns)
        idf = np.where(seen > 0, np.log((1 + len(learnt)) / (1 + seen)) + 1, 0.0)
        values = self.count * idf[self.column]
        lengths = np.sqrt(np.bincount(self.row, values**2, self.rows))
        values = values / np.maximum(lengths, 1e-12)[self.row]
        row, column, value, truth = self.row[mine], self.column[mine], values[mine], wanted[learnt]

        def objective(point: Vector) -> tuple[float, Vector]:
            weights, bias = point[:-1], point[-1]
            scores = np.bincount(row, value * weights[column], self.rows)[learnt] + bias
            loss = float((np.logaddexp(0, scores) - truth * scores).sum() + weights @ weights / 2)
            error = np.zeros(self.rows)
            error[learnt] = 1 / (1 + np.exp(-scores)) - truth
            slope = np.bincount(column, value * error[row], self.columns) + weights
            return loss / len(learnt), np.append(slope, error.sum()) / len(learnt)

        point = minimise(objective, np.zeros(self.columns + 1), close=1e-7)
        scores = np.bincount(self.row, values * point[:-1][self.column], self.rows) + point[-1]
        return np.asarray(1 / (1 + np.exp(-scores)))
