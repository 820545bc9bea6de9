"""Tables of outcomes and of preferences, from CSV or JSON lines, checked cell by cell."""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from ponder.core.errors import DataError, nearest
from ponder.train.routers.table import Battles, Table

Row = Mapping[str, str]
RIGHT = {"true": 1.0, "1": 1.0, "yes": 1.0, "right": 1.0, "false": 0.0, "0": 0.0, "no": 0.0, "wrong": 0.0}
WINNERS = {"model_a": 1.0, "a": 1.0, "model_b": 0.0, "b": 0.0, "tie": 0.5, "both_bad": 0.5, "tie (bothbad)": 0.5}
"""How arenas spell who won."""
PREFERENCES = ("model_a", "model_b", "winner")
_LONGEST_CELL = 100_000_000


def read_rows(file: Path) -> list[Row]:
    """Return the rows of a CSV or JSON-lines file, which may be gzipped. Raises `DataError` where it cannot be read."""
    try:
        data = file.read_bytes()
        text = (gzip.decompress(data) if data[:2] == b"\x1f\x8b" else data).decode("utf-8-sig")
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise DataError(f"{file} cannot be read ({error}); give a table in UTF-8, as CSV or JSON lines") from None
    rows = list(_json_rows(text, file) if text.lstrip().startswith("{") else _csv_rows(text, file))
    if not rows:
        raise DataError(f"{file} holds no rows")
    return rows


def _csv_rows(text: str, file: Path) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_CELL)
    reader = csv.DictReader(io.StringIO(text, newline=""))
    for number, row in enumerate(reader, 1):
        if None in row:
            raise DataError(f"{file}: row {number} has more cells than the first line has names")
        # A row that ends early has None where its cells are missing; the columns in use are checked later.
        yield {name: cell or "" for name, cell in row.items()}


def _json_rows(text: str, file: Path) -> Iterator[Row]:
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{file}: line {number} is no JSON ({error})") from None
        if not isinstance(row, dict):
            raise DataError(f"{file}: line {number} is no JSON object")
        yield {
            str(name): "" if cell is None else cell if isinstance(cell, str) else json.dumps(cell)
            for name, cell in row.items()
        }


def outcomes(
    rows: Sequence[Row], choices: Mapping[str, str], where: str, *, prompt: str | None, group: str | None = None
) -> Table:
    """Return a table of outcomes. `choices` maps each name to its column of right or wrong, the cheapest first.

    Cells are true or false, or shares in 0 to 1. Without a `prompt` column there are no texts. Raises `DataError` that
    names the row and the column of a cell that is missing or no outcome.
    """
    success = np.array(
        [[_share(row, column, number, where) for column in choices.values()] for number, row in _numbered(rows)]
    )
    return Table(tuple(choices), _texts(rows, prompt, where), _texts(rows, group, where), success=success)


def preferences(
    rows: Sequence[Row], choices: Mapping[str, str], where: str, *, prompt: str, group: str | None = None
) -> Table:
    """Return a table of preferences, as arenas publish them: `model_a`, `model_b`, `winner` and a prompt.

    `choices` maps each name to a model among them, the cheapest first. Raises `DataError` that names the row and the
    column.
    """
    names = [(_cell(row, "model_a", n, where), _cell(row, "model_b", n, where)) for n, row in _numbered(rows)]
    for number, (first, second) in enumerate(names, 1):
        if first == second:
            raise DataError(f"{where}: row {number} compares {first!r} with itself")
    models = tuple(sorted({name for pair in names for name in pair}))
    for model in choices.values():
        if model not in models:
            raise DataError(f"{where}: no row compares {model!r}{nearest(model, models)}")
    called = {model: name for name, model in choices.items()}
    place = {name: index for index, name in enumerate(models)}
    battles = Battles(
        tuple(called.get(model, f"{model} of the table" if model in choices else model) for model in models),
        np.array([place[first] for first, _ in names], np.intp),
        np.array([place[second] for _, second in names], np.intp),
        np.array([_winner(row, n, where) for n, row in _numbered(rows)]),
    )
    return Table(tuple(choices), _texts(rows, prompt, where), _texts(rows, group, where), battles=battles)


def _numbered(rows: Sequence[Row]) -> Iterator[tuple[int, Row]]:
    return enumerate(rows, 1)


def _cell(row: Row, column: str, number: int, where: str) -> str:
    if column not in row:
        raise DataError(f"{where} has no column {column!r}{nearest(column, row)}; it has {', '.join(row)}")
    if not row[column].strip():
        raise DataError(f"{where}: row {number} has no {column!r}; fill the cell, or leave the row out")
    return row[column]


def _texts(rows: Sequence[Row], column: str | None, where: str) -> tuple[str, ...]:
    return tuple(_cell(row, column, number, where) for number, row in _numbered(rows)) if column else ()


def _share(row: Row, column: str, number: int, where: str) -> float:
    cell = _cell(row, column, number, where)
    try:
        share = RIGHT[cell.strip().lower()] if cell.strip().lower() in RIGHT else float(cell)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise DataError(f"{where}: row {number}: {column!r} = {cell!r} must be true or false, or a share in 0 to 1")
    return share


def _winner(row: Row, number: int, where: str) -> float:
    """Return how far the first model won. Ties count half, whether both were good or both bad."""
    cell = _cell(row, "winner", number, where).strip()
    found = WINNERS.get(cell.lower())
    if found is None and cell in (row["model_a"], row["model_b"]):
        found = float(cell == row["model_a"])
    if found is None:
        raise DataError(
            f"{where}: row {number}: 'winner' = {cell!r} must be model_a, model_b, tie or the winner's name"
        )
    return found
