"""Which rows a step sees: every row once an epoch, lengths together, the same for the same seed."""

from __future__ import annotations

import random
from itertools import chain, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.train.loops.plan import make_plan
from ponder.train.loops.settings import SFT


@given(
    st.lists(st.integers(1, 500), min_size=1, max_size=300), st.integers(1, 40), st.integers(1, 3), st.integers(0, 9)
)
def test_an_epoch_sees_every_row_once(lengths: list[int], batch: int, epochs: int, seed: int) -> None:
    settings = SFT(batch=batch, epochs=epochs, seed=seed)
    plan = make_plan(settings, lengths, [range(len(lengths))])
    seen = list(chain.from_iterable(plan.batches))
    assert sorted(seen) == sorted([*range(len(lengths))] * epochs)
    assert all(1 <= len(rows) <= batch for rows in plan.batches)
    assert plan.ends == (len(plan.batches),)
    assert plan == make_plan(settings, lengths, [range(len(lengths))])


def test_steps_go_before_epochs() -> None:
    plan = make_plan(SFT(steps=7, epochs=1, batch=4), [5] * 10, [range(10), range(4)])
    assert len(plan.batches) == 14
    assert plan.ends == (7, 14)
    assert [plan.stage(step) for step in (1, 7, 8, 14)] == [0, 0, 1, 1]
    assert all(row < 4 for rows in plan.batches[7:] for row in rows)
    half = make_plan(SFT(epochs=0.5, batch=2), [5] * 12, [range(12)])
    assert len(half.batches) == 3


def test_seeds_and_stages_and_epochs_differ_in_order() -> None:
    def order(seed: int, stages: int = 1, epochs: int = 1) -> tuple[tuple[int, ...], ...]:
        return make_plan(SFT(seed=seed, batch=4, epochs=epochs), [9] * 64, [range(64)] * stages).batches

    assert order(0) != order(1)
    both = order(0, stages=2)
    assert both[:16] == order(0)
    assert both[16:] != both[:16]
    twice = order(0, epochs=2)
    assert twice[:16] == order(0)
    assert twice[16:] != twice[:16]


def test_rows_of_about_one_length_stand_together() -> None:
    draw = random.Random(0)
    lengths = [draw.randint(10, 400) for _ in range(2000)]
    plan = make_plan(SFT(batch=16), lengths, [range(2000)])
    padded = sum(len(rows) * max(lengths[row] for row in rows) for rows in plan.batches)
    assert padded < 1.08 * sum(lengths)
    # Yet batches come in no order of length.
    longest = [max(lengths[row] for row in rows) for rows in plan.batches]
    assert sum(a < b for a, b in pairwise(longest)) / len(longest) == pytest.approx(0.5, abs=0.15)


def test_the_rate_rises_and_falls_in_each_stage() -> None:
    settings = SFT(steps=10, warmup=0.2, batch=1)
    plan = make_plan(settings, [1] * 4, [range(4)] * 2)
    rates = [plan.rate(settings, done) for done in range(21)]
    assert rates[:10] == rates[10:20]
    assert rates[:3] == pytest.approx([1 / 3, 2 / 3, 1])
    assert all(a > b for a, b in pairwise(rates[2:10]))
    assert rates[6] == pytest.approx(0.5)
    assert rates[9] > 0
    assert rates[20] == 0


@pytest.mark.parametrize(("scheduler", "middle", "last"), [("linear", 0.5, 0.25), ("constant", 1.0, 1.0)])
def test_other_schedulers(scheduler: str, middle: float, last: float) -> None:
    settings = SFT(steps=4, warmup=0.0, scheduler=scheduler, batch=1)  # type: ignore[arg-type]
    plan = make_plan(settings, [1], [range(1)])
    assert [plan.rate(settings, done) for done in (0, 2, 3)] == [1.0, middle, last]
