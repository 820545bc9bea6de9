"""Which rows each step sees and at which learning rate: fixed before training, so that a resumed run sees the same."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, count, islice

from ponder.train.loops.settings import SFT

_POOL = 32
"""Batches that are sorted by length together: enough to save padding, few enough to stay mixed."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The batches of a run, as indexes of rows; `ends` is the step at which each stage ends, counted from 1."""

    batches: tuple[tuple[int, ...], ...]
    ends: tuple[int, ...]

    def stage(self, step: int) -> int:
        """Return the stage, from 0, of a step from 1."""
        return next(index for index, end in enumerate(self.ends) if step <= end)

    def rate(self, settings: SFT, done: int) -> float:
        """Return the share of the learning rate for the step after `done` steps; each stage begins anew."""
        if done >= self.ends[-1]:
            return 0.0
        stage = self.stage(done + 1)
        start = self.ends[stage - 1] if stage else 0
        return _share(settings, done - start, self.ends[stage] - start)


def make_plan(settings: SFT, lengths: Sequence[int], stages: Sequence[Sequence[int]]) -> Plan:
    """Plan a run over `stages` of row indexes; `lengths` are the rows' tokens."""
    planned = [tuple(_stage(settings, lengths, rows, number)) for number, rows in enumerate(stages)]
    ends = tuple(accumulate(len(batches) for batches in planned))
    return Plan(tuple(batch for batches in planned for batch in batches), ends)


def _stage(settings: SFT, lengths: Sequence[int], rows: Sequence[int], number: int) -> Iterator[tuple[int, ...]]:
    """Yield a stage's batches: whole epochs, the last one cut where the steps end."""
    each = math.ceil(len(rows) / settings.batch)
    steps = settings.steps or max(1, round(each * settings.epochs))
    epochs = (_epoch(settings, lengths, rows, f"{settings.seed}/{number}/{epoch}") for epoch in count())
    return islice((batch for epoch in epochs for batch in epoch), steps)


def _epoch(settings: SFT, lengths: Sequence[int], rows: Sequence[int], seed: str) -> Iterator[tuple[int, ...]]:
    """Yield every row once, in batches of rows of about one length, in random order."""
    chance = random.Random(seed)
    order = list(rows)
    chance.shuffle(order)
    pool = settings.batch * _POOL
    batches: list[tuple[int, ...]] = []
    for start in range(0, len(order), pool):
        near = sorted(order[start : start + pool], key=lambda row: lengths[row])
        batches += [tuple(near[at : at + settings.batch]) for at in range(0, len(near), settings.batch)]
    chance.shuffle(batches)
    return iter(batches)


def _share(settings: SFT, done: int, steps: int) -> float:
    warm = math.ceil(settings.warmup * steps)
    if done < warm:
        return (done + 1) / (warm + 1)
    if settings.scheduler == "constant":
        return 1.0
    rest = (done - warm) / max(1, steps - warm)
    return 1 - rest if settings.scheduler == "linear" else (1 + math.cos(math.pi * rest)) / 2
