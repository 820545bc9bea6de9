"""Training a router: folds for honest scores, a fit on everything for the file, a threshold for a share of calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ponder.core.errors import DataError
from ponder.routers.category import Shares
from ponder.routers.encoder import Head
from ponder.routers.factorisation import Factors
from ponder.routers.ranking import Known
from ponder.routers.state import State, save_state
from ponder.train.routers.curve import Curve, curve, intervals
from ponder.train.routers.fit import Kind, Settings, fit
from ponder.train.routers.share import shares, threshold_of_share
from ponder.train.routers.table import Indices, Numbers, Table
from ponder.train.routers.tiers import abilities, tiers, tiers_of
from ponder.train.routers.vectors import Seen
from ponder.weights.tensors import Array

Interval = tuple[float, float] | None
Ratings = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Measured:
    """What a router's scores are worth on questions that it was not trained with; intervals are of 95 %."""

    questions: int
    weak: float
    strong: float
    apgr: float
    apgr_interval: Interval
    apgr_ten: float
    cpt50: float | None
    cpt50_interval: Interval
    cpt80: float | None
    cpt80_interval: Interval
    curve: Curve


@dataclass(frozen=True, slots=True)
class Trained:
    """A router's file, its threshold for the wanted share of strong calls, and how good it is across folds."""

    folder: Path
    threshold: float
    share: float
    shares: Mapping[str, float]
    """The share of each choice at the threshold. The last one's may be another than `share`, for questions of equal
    score are never parted."""
    measured: Measured | None
    """None where no row tells how the first and the last choice compare."""


def score(ratings: Ratings, choices: Sequence[str]) -> float:
    """Return the chance that the last choice does better than the first, ties counted half."""
    return (1 + (ratings[choices[-1]] - ratings[choices[0]])) / 2


def predict(
    kind: Kind,
    choices: tuple[str, ...],
    facts: Mapping[str, object],
    arrays: Mapping[str, Array],
    inputs: Array | tuple[str, ...],
    rows: Indices,
) -> list[dict[str, float]]:
    """Return the ratings of some rows by freshly fitted numbers, with the code that serves them.

    `inputs` are the vectors of all rows, or their categories.
    """
    state = State(Path("in memory"), choices, facts, arrays)
    if isinstance(inputs, tuple):
        shares = Shares(state)
        return [shares.rate(inputs[row]) for row in rows]
    if kind == "ranking":
        return Known(state).rate_all(inputs[rows])
    model = Factors(state) if kind == "factorisation" else Head(state)
    return [model.rate(inputs[row]) for row in rows]


def cross_scores(
    kind: Kind,
    table: Table,
    seen: Seen | None,
    parts: Sequence[Indices],
    settings: Settings,
    column: str = "category",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Numbers:
    """Return a score for every row, each from a router that was fitted on the other folds."""
    return last_against_first(cross_ratings(kind, table, seen, parts, settings, column, progress))


def cross_ratings(
    kind: Kind,
    table: Table,
    seen: Seen | None,
    parts: Sequence[Indices],
    settings: Settings,
    column: str = "category",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Numbers:
    """Return the ratings (rows, choices) of every row, each from a router that was fitted on the other folds."""
    found = np.zeros((len(table), len(table.choices)))
    for number, tested in enumerate(parts, 1):
        learnt = np.setdiff1d(np.arange(len(table)), tested)
        facts, arrays, inputs = _fitted(kind, table, seen, learnt, settings, column)
        rated = predict(kind, table.choices, facts, arrays, inputs, tested)
        found[tested] = [[ratings[choice] for choice in table.choices] for ratings in rated]
        progress(number, len(parts))
    return found


def last_against_first(ratings: Numbers) -> Numbers:
    """Return each row's chance that the last choice does better than the first, ties counted half."""
    return np.asarray((1 + (ratings[:, -1] - ratings[:, 0])) / 2)


def _fitted(
    kind: Kind, table: Table, seen: Seen | None, rows: Indices, settings: Settings, column: str
) -> tuple[dict[str, object], dict[str, Array], Array | tuple[str, ...]]:
    """Return facts and arrays of a router fitted on `rows`, and what it rates, row by row."""
    if kind == "category":
        facts, arrays = fit(kind, table.rows(rows), np.zeros((len(rows), 0), np.float32), settings, column)
        return facts, arrays, table.groups
    if seen is None:
        raise DataError(f"a {kind} router reads questions, and the table has none; name their column with --prompt")
    weighing, vectors = seen.fitted(rows)
    facts, arrays = fit(kind, table.rows(rows), vectors[rows], settings)
    return {**seen.facts, **facts}, {**weighing, **arrays}, vectors


def ranks(scores: Numbers, parts: Sequence[Indices]) -> Numbers:
    """Return each score's place within its fold, in 0 to 1, equal ones sharing theirs.

    Each fold has a router of its own, with a threshold of its own: compared across folds, even routers that say the
    same of every question would seem to know something, for what one was trained on, another is tested on.
    """
    found = np.zeros(len(scores))
    for part in parts:
        _, places, counts = np.unique(scores[part], return_inverse=True, return_counts=True)
        found[part] = ((np.cumsum(counts) - counts / 2) / len(part))[places]
    return found


def measure(scores: Numbers, weak: Numbers, strong: Numbers, seed: int = 0) -> Measured:
    """Return what scores are worth on questions with these outcomes."""
    whole = curve(scores, weak, strong)
    found = intervals(
        {"apgr": lambda c: c.apgr, "cpt50": lambda c: c.cpt(0.5), "cpt80": lambda c: c.cpt(0.8)},
        scores, weak, strong, seed,
    )  # fmt: skip
    return Measured(
        len(scores), float(weak.mean()), float(strong.mean()), whole.apgr, found["apgr"], whole.apgr_ten,
        whole.cpt(0.5), found["cpt50"], whole.cpt(0.8), found["cpt80"], whole,
    )  # fmt: skip


def compared(table: Table, count: int) -> tuple[Indices, Numbers, Numbers]:
    """Return the rows that compare the first with the last choice, and how both did there, in 0 to 1.

    Of preferences these are the rows that compare a model of the one's tier with a model of the other's.
    """
    if table.success is not None:
        return np.arange(len(table)), table.success[:, 0], table.success[:, -1]
    battles = table.battles
    assert battles is not None
    placed = tiers(abilities(battles), count)
    weak, *_, strong = tiers_of(table.choices, battles.models, placed)
    first, second = placed[battles.first], placed[battles.second]
    rows = np.flatnonzero(((first == weak) & (second == strong)) | ((first == strong) & (second == weak)))
    won = np.where(first[rows] == strong, battles.won[rows], 1 - battles.won[rows])
    return rows, 1 - won, won


def comparable(table: Table, count: int) -> bool:
    """Say whether enough rows tell how the first and the last choice compare: else there is no figure and no curve."""
    return _worth(*compared(table, count)[1:])


def train_router(
    kind: Kind,
    table: Table,
    seen: Seen | None,
    out: Path,
    share: float,
    parts: Sequence[Indices],
    settings: Settings,
    column: str = "category",
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Trained:
    """Fit on everything, write the files, and say what routers of this kind are worth across the folds.

    The threshold sends about `share` of the table's questions to the last choice by their ratings across folds.
    Raises `DataError` for what cannot be learnt from; then nothing is written.
    """
    ratings = cross_ratings(kind, table, seen, parts, settings, column, progress)
    scores, threshold = last_against_first(ratings), threshold_of_share(ratings, share)
    rows, weak, strong = compared(table, settings.tiers)
    measured = measure(ranks(scores, parts)[rows], weak, strong, settings.seed) if _worth(weak, strong) else None
    calibrated = {"value": threshold, "share": share, "questions": len(table)}
    store(kind, table, seen, out, settings, column, {"threshold": calibrated, **_facts(measured)})
    return Trained(out, threshold, share, dict(zip(table.choices, shares(ratings, threshold), strict=True)), measured)


def store(
    kind: Kind,
    table: Table,
    seen: Seen | None,
    out: Path,
    settings: Settings,
    column: str = "category",
    more: Mapping[str, object] | None = None,
) -> None:
    """Fit on everything and write the files, with further facts in the TOML."""
    facts, arrays, _ = _fitted(kind, table, seen, np.arange(len(table)), settings, column)
    save_state(out, kind, table.choices, {**facts, **(more or {})}, arrays)


def _worth(weak: Numbers, strong: Numbers) -> bool:
    return len(weak) >= 10 and abs(float(strong.sum() - weak.sum())) > 1e-9


def _facts(measured: Measured | None) -> dict[str, object]:
    if measured is None:
        return {}
    values = {"apgr": measured.apgr, "cpt50": measured.cpt50, "cpt80": measured.cpt80}
    return {"measured": {name: value for name, value in values.items() if value is not None}}
