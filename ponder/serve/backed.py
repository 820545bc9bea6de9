"""What recorded runs say of a method beside plain reasoning, so that a reply may say it: nothing is estimated here."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from ponder.core.config import Value
from ponder.core.errors import DataError, OptionError
from ponder.methods import Catalogue

Saved = Mapping[str, float | str]
"""The `saved` object of a reply: per cents of tokens and points of accuracy, each with its interval of 95 %."""

_MOST = 16 << 20
"""Bytes that a file of results may have."""


def read_results(path: Path, catalogue: Catalogue) -> dict[str, Saved]:
    """Return what each method of a result file saves, by `key_of` its table.

    The file is what `ponder bench --json` prints. Of several tasks the one with the most questions speaks. Rows that
    were compared with something else than plain reasoning, or on nothing, are left out. Raises `DataError`.
    """
    found: dict[str, Saved] = {}
    for row in sorted(_rows(path), key=lambda row: -_number(row.get("paired"))):
        if row.get("baseline") != "sample" or row.get("method") == "sample" or not row.get("paired"):
            continue
        options = row.get("options")
        table = {**(options if isinstance(options, dict) else {}), "method": row.get("method")}
        try:
            key = key_of(catalogue.to_config(catalogue.from_config(cast(Mapping[str, Value], table))))
        except OptionError:
            # A method of a plugin that is not here, or of another version: nobody can ask for it either.
            continue
        saved = _saved(row)
        if saved:
            found.setdefault(key, saved)
    if not found:
        raise DataError(f"{path} compares no method with plain reasoning; make it with `ponder bench TASK --json`")
    return found


def key_of(table: Mapping[str, Value]) -> str:
    """Return one text for equal methods, whatever the order of their options."""
    return json.dumps(table, sort_keys=True)


def _rows(path: Path) -> Iterator[dict[str, object]]:
    try:
        if path.stat().st_size > _MOST:
            raise DataError(f"{path} is larger than {_MOST >> 20} MB; give the JSON that `ponder bench --json` prints")
        whole = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror}); give the path of a result file") from None
    except (ValueError, RecursionError):
        raise DataError(f"{path} is no JSON; give what `ponder bench --json` prints") from None
    rows = whole.get("rows") if isinstance(whole, dict) else None
    if not isinstance(rows, list):
        raise DataError(f"{path} has no rows; give what `ponder bench --json` prints")
    yield from (row for row in rows if isinstance(row, dict))


def _saved(row: Mapping[str, object]) -> Saved | None:
    """Return the comparison of one row, or None where a number is missing."""
    numbers: dict[str, float] = {}
    for name, field in (("tokens_percent", "saving"), ("accuracy_points", "accuracy_change")):
        interval = row.get(f"{field}_interval")
        low, high = interval if isinstance(interval, list) and len(interval) == 2 else (None, None)
        for suffix, value in (("", row.get(field)), ("_low", low), ("_high", high)):
            if isinstance(value, bool) or not isinstance(value, int | float):
                return None
            numbers[name + suffix] = round(100 * float(value), 1)
    said = {name: str(row.get(name, "")) for name in ("task", "model")}
    return {**numbers, "questions": _number(row.get("paired")), **said}


def _number(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
