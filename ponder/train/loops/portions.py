"""Which rows each stage of a run trains on: by data set or by length, with a count of everything left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from ponder.core.errors import DataError
from ponder.train.loops.encode import Encoded
from ponder.train.loops.settings import SFT


@dataclass(frozen=True, slots=True)
class Portion:
    """The rows of one stage, as indexes; `mean` is their mean number of learnt tokens."""

    name: str
    rows: tuple[int, ...]
    read: int
    too_long: int
    """Rows left out because prompt and completion together are beyond `max_length`."""
    beyond: int
    """Rows left out because their completion is beyond this stage's length."""
    mean: float


def divide(settings: SFT, names: Sequence[str], encoded: Sequence[Sequence[Encoded]]) -> list[Portion]:
    """Return the stages of a run over data sets, whose rows are counted on from one to the next.

    Raises `DataError` for a stage without rows, and for a length schedule in which a stage is no shorter than the
    one before.
    """
    starts = [sum(map(len, encoded[:index])) for index in range(len(encoded))]
    sets = [range(start, start + len(rows)) for start, rows in zip(starts, encoded, strict=True)]
    flat = [row for rows in encoded for row in rows]
    everything = range(len(flat))
    if settings.lengths:
        found = [_portion(settings, f"at most {limit} tokens", everything, flat, limit) for limit in settings.lengths]
        for before, after in pairwise(found):
            if after.mean >= before.mean:
                raise DataError(
                    f"the stage of {after.name} is no shorter than that of {before.name}: completions have "
                    f"{after.mean:.1f} tokens in the mean in both; choose lengths that leave rows out"
                )
        return found
    if settings.schedule == "progressive":
        return [_portion(settings, name, rows, flat) for name, rows in zip(names, sets, strict=True)]
    return [_portion(settings, " + ".join(names), everything, flat)]


def _portion(
    settings: SFT, name: str, rows: Sequence[int], flat: Sequence[Encoded], limit: int | None = None
) -> Portion:
    fitting = [row for row in rows if len(flat[row].ids) <= settings.max_length]
    kept = tuple(row for row in fitting if limit is None or flat[row].completion <= limit)
    too_long, beyond = len(rows) - len(fitting), len(fitting) - len(kept)
    if not kept:
        left = f"{too_long} are longer than max_length = {settings.max_length} tokens"
        left += "" if limit is None else f", {beyond} have completions longer than {limit} tokens"
        raise DataError(f"{name}: no row is left to train on; of {len(rows)} rows, {left}")
    mean = sum(flat[row].completion for row in kept) / len(kept)
    return Portion(name, kept, len(rows), too_long, beyond, mean)
