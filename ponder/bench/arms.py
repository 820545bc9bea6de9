"""Attempts in columns, and the arms of a comparison brought onto one list of questions."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from ponder.bench import stats
from ponder.bench.metrics import Point
from ponder.core.config import Value
from ponder.core.run import ROLES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

_MOST_DRAWS = 250_000_000
"""From 25,000 questions on, fewer bootstrap replicates than usual keep a summary at a few seconds."""
_FEWEST_REPLICATES = 2_000


@dataclass(frozen=True, slots=True)
class Attempt:
    """One finished attempt at one question. `tokens` are generated ones over all roles; `exact` says they are counted,
    not estimated. `correct` is None where this cannot be told. `seconds` is 0 where nothing was timed.
    """

    question: str
    seed: int
    correct: bool | None
    tokens: int
    by_role: Mapping[str, int]
    prompt_tokens: int
    cached_tokens: int
    truncated: bool
    seconds: float
    first_token_seconds: float | None
    exact: bool


class Columns(NamedTuple):
    """The attempts of an arm, one array a field; `correct` is 1, 0, or NaN for unknown; `roles` is (attempts, 6)."""

    question: NDArray[np.int32]
    correct: Floats
    tokens: Floats
    prompt_tokens: Floats
    cached_tokens: Floats
    truncated: Mask
    exact: Mask
    seconds: Floats
    first_token_seconds: Floats
    roles: Floats


@dataclass(slots=True)
class Arm:
    """All attempts of one method on one task with one model, in columns: about 90 bytes an attempt."""

    method: str
    options: Mapping[str, Value] = field(default_factory=dict)
    model: str = ""
    task: str = ""
    questions: dict[str, int] = field(default_factory=dict)
    """Question id to its index, in the order of arrival."""
    seeds: set[int] = field(default_factory=set)
    _whole: dict[str, array[int]] = field(
        default_factory=lambda: {name: array("i") for name in ("question", "tokens", "prompt", "cached", *ROLES)}
    )
    _flags: dict[str, array[int]] = field(
        default_factory=lambda: {name: array("b") for name in ("correct", "truncated", "exact")}
    )
    _times: dict[str, array[float]] = field(default_factory=lambda: {"all": array("d"), "first": array("d")})

    def add(self, attempt: Attempt) -> None:
        """Take one attempt. The same question with several seeds counts as several samples of it."""
        whole, flags = self._whole, self._flags
        whole["question"].append(self.questions.setdefault(attempt.question, len(self.questions)))
        whole["tokens"].append(attempt.tokens)
        whole["prompt"].append(attempt.prompt_tokens)
        whole["cached"].append(attempt.cached_tokens)
        for role in ROLES:
            whole[role].append(attempt.by_role.get(role, 0))
        flags["correct"].append(-1 if attempt.correct is None else attempt.correct)
        flags["truncated"].append(attempt.truncated)
        flags["exact"].append(attempt.exact)
        self._times["all"].append(attempt.seconds)
        first = attempt.first_token_seconds
        self._times["first"].append(float("nan") if first is None else first)
        self.seeds.add(attempt.seed)

    def __len__(self) -> int:
        return len(self._whole["question"])

    def columns(self) -> Columns:
        """Return a copy of the columns."""
        import numpy as np

        whole = {name: np.array(values, dtype=np.int32) for name, values in self._whole.items()}
        flags = {name: np.array(values, dtype=np.int8) for name, values in self._flags.items()}
        numbers = {name: values.astype(np.float64) for name, values in whole.items()}
        return Columns(
            whole["question"],
            np.where(flags["correct"] < 0, np.nan, flags["correct"]),
            numbers["tokens"],
            numbers["prompt"],
            numbers["cached"],
            flags["truncated"].astype(np.bool_),
            flags["exact"].astype(np.bool_),
            np.array(self._times["all"]),
            np.array(self._times["first"]),
            np.stack([numbers[role] for role in ROLES], axis=1),
        )


class Paired:
    """Every arm's per-question means on one common list of questions, and bootstrap means of any part of it."""

    def __init__(self, arms: Mapping[str, Arm], seed: int) -> None:
        import numpy as np

        place: dict[str, int] = {}
        for arm in arms.values():
            for question in arm.questions:
                place.setdefault(question, len(place))
        self._seed = seed
        self._drawn: dict[bytes, dict[str, tuple[Floats, Floats]]] = {}
        self.columns = {label: arm.columns() for label, arm in arms.items()}
        self.tokens: dict[str, Floats] = {}
        self.correct: dict[str, Floats] = {}
        self.once: dict[str, bool] = {}
        """Whether an arm has at most one judged sample for each question."""
        for label, arm in arms.items():
            columns = self.columns[label]
            index = np.array([place[question] for question in arm.questions])[columns.question]
            judged = ~np.isnan(columns.correct)
            self.tokens[label] = stats.question_means(index, columns.tokens, len(place))
            self.correct[label] = stats.question_means(index[judged], columns.correct[judged], len(place))
            self.once[label] = len(set(index[judged].tolist())) == int(judged.sum())

    def judged(self, *labels: str) -> Mask:
        """Return which questions can be judged in all of these arms."""
        import numpy as np

        mask: Mask = np.logical_and.reduce([~np.isnan(self.correct[label]) for label in labels])
        return mask

    def answered(self, *labels: str) -> Mask:
        """Return which questions all of these arms answered."""
        import numpy as np

        mask: Mask = np.logical_and.reduce([~np.isnan(self.tokens[label]) for label in labels])
        return mask

    def resampled(self, mask: Mask) -> dict[str, tuple[Floats, Floats]]:
        """Return bootstrap means of tokens and accuracy for each arm that is whole on these questions.

        The same questions are drawn for all arms, and drawn once: arms usually share their questions. Accuracy is NaN
        for an arm that cannot be judged on all of them.
        """
        import numpy as np

        key = mask.tobytes()
        if key not in self._drawn:
            n = int(mask.sum())
            labels = [label for label in self.tokens if not np.isnan(self.tokens[label][mask]).any()]
            judged = [label for label in labels if not np.isnan(self.correct[label][mask]).any()]
            columns = [self.tokens[label][mask] for label in labels] + [self.correct[label][mask] for label in judged]
            replicates = max(_FEWEST_REPLICATES, min(stats.REPLICATES, _MOST_DRAWS // n))
            means = stats.resampled_means(columns, replicates, self._seed)
            unknown = np.full(replicates, np.nan)
            self._drawn[key] = {
                label: (
                    means[:, i],
                    means[:, len(labels) + judged.index(label)] if label in judged else unknown,
                )
                for i, label in enumerate(labels)
            }
        return self._drawn[key]

    def point(self, label: str, mask: Mask) -> Point:
        """Return an arm's mean tokens and accuracy on these questions."""
        return Point(float(self.tokens[label][mask].mean()), float(self.correct[label][mask].mean()))
