"""Fits: what each kind of router takes from a table, as the facts and arrays of its files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Literal

import numpy as np

from ponder.core.errors import DataError
from ponder.train.routers.factors import fit_factors
from ponder.train.routers.head import fit_head
from ponder.train.routers.table import Battles, Indices, Numbers, Table
from ponder.train.routers.tiers import TIERS, abilities, tiers, tiers_of
from ponder.weights.tensors import Array

Kind = Literal["ranking", "factorisation", "encoder", "category"]
KINDS: tuple[Kind, ...] = ("ranking", "factorisation", "encoder", "category")
Facts = dict[str, object]
Arrays = dict[str, Array]
_PRIOR = 20.0
"""Questions with the overall share that every category is given beside its own."""


@dataclass(frozen=True, slots=True)
class Settings:
    """How to fit: the rank of a factorisation, the tiers of preferences, the seed of what is drawn."""

    rank: int = 16
    tiers: int = TIERS
    seed: int = 0


def fit(kind: Kind, table: Table, vectors: Array, settings: Settings, column: str = "category") -> tuple[Facts, Arrays]:
    """Return the facts and arrays of a router of `kind`. `vectors` is (rows, width), `column` what groups are called.

    Raises `DataError` where the table has not what the kind learns from.
    """
    if kind == "category":
        return _category(table, column)
    if table.battles is None:
        facts, arrays = _FITS[kind](table, vectors, settings)
        return facts, {**arrays, "tiers": _single(np.arange(len(table.choices)))}
    found = tiers(abilities(table.battles), settings.tiers)
    chosen = tiers_of(table.choices, table.battles.models, found)
    placed, kept = _tiered(table, table.battles, found)
    facts, arrays = _FITS[kind](placed, vectors[kept], settings)
    return facts, {**arrays, "tiers": _single(chosen)}


def _tiered(table: Table, battles: Battles, found: Indices) -> tuple[Table, Indices]:
    """Return the table with tiers in place of models, and the rows that are left: within a tier nobody is better."""
    names = tuple(f"tier {tier}" for tier in range(int(found.max()) + 1))
    first, second = found[battles.first], found[battles.second]
    kept = np.flatnonzero(first != second)
    return replace(table, battles=Battles(names, first, second, battles.won)).rows(kept), kept


def _category(table: Table, column: str) -> tuple[Facts, Arrays]:
    if table.success is None or not table.groups:
        raise DataError("a category router learns from outcomes with a column of categories; name it with --group")
    names = sorted(set(table.groups))
    place = {name: index for index, name in enumerate(names)}
    rows = np.array([place[name] for name in table.groups])
    overall = table.success.mean(axis=0)
    totals = np.zeros((len(names), len(table.choices)))
    np.add.at(totals, rows, table.success)
    sizes = np.bincount(rows, minlength=len(names))[:, None]
    shares = (totals + _PRIOR * overall) / (sizes + _PRIOR)
    return {"field": column, "categories": names}, {"shares": _single(shares), "overall": _single(overall)}


def _ranking(table: Table, vectors: Array, settings: Settings) -> tuple[Facts, Arrays]:
    if table.success is not None:
        return {}, {"vectors": vectors, "success": _single(table.success)}
    battles = _battles(table)
    who = {"first": _single(battles.first), "second": _single(battles.second)}
    return {}, {"vectors": vectors, **who, "won": _single(battles.won)}


def _factorisation(table: Table, vectors: Array, settings: Settings) -> tuple[Facts, Arrays]:
    battles, rows = (
        _as_battles(table.choices, table.success) if table.battles is None else (table.battles, np.arange(len(table)))
    )
    seen = vectors if len(table.choices) == 2 or table.success is None else vectors[rows]
    found = fit_factors(battles, seen, settings.rank, settings.seed)
    return {}, {name: _single(values) for name, values in found.items()}


def _as_battles(choices: tuple[str, ...], success: Numbers | None) -> tuple[Battles, Indices]:
    """Return each question's comparisons of every two choices, and which question each is of."""
    assert success is not None
    pairs = list(combinations(range(len(choices)), 2))
    rows = np.tile(np.arange(len(success)), len(pairs))
    second, first = (np.repeat([pair[side] for pair in pairs], len(success)) for side in (0, 1))
    won = (1 + success[rows, first] - success[rows, second]) / 2
    return Battles(choices, first, second, won), rows


def _encoder(table: Table, vectors: Array, settings: Settings) -> tuple[Facts, Arrays]:
    if len(table.choices) != 2:
        raise DataError(f"an encoder classifier tells two choices apart, not {len(table.choices)}; take factorisation")
    weights, bias = fit_head(vectors, _classes(table), settings.seed)
    return {}, {"weights": _single(weights), "bias": _single(bias)}


def _classes(table: Table) -> Indices:
    """Return 0 where the better choice won, 1 for a tie, 2 where the other one won."""
    if table.success is not None:
        gain = table.success[:, 1] - table.success[:, 0]
        return np.where(gain > 0, 0, np.where(gain < 0, 2, 1))
    battles = _battles(table)
    won = np.where(battles.first > battles.second, battles.won, 1 - battles.won)
    return np.where(won > 0.5, 0, np.where(won < 0.5, 2, 1))


def _battles(table: Table) -> Battles:
    assert table.battles is not None
    return table.battles


def _single(values: Numbers | Indices) -> Array:
    return np.asarray(values, np.float32)


_FITS: Mapping[Kind, Callable[[Table, Array, Settings], tuple[Facts, Arrays]]] = {
    "ranking": _ranking,
    "factorisation": _factorisation,
    "encoder": _encoder,
}
