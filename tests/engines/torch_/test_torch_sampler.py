"""Noise by position, and filters that keep what they should, against their definitions."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ponder.core.engine import Sampling

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.engines.torch.sampler import draw, logprob, noise, seed_of  # noqa: E402

LOGITS = [2.0, 1.0, 0.0, -1.0, -30.0]


def row(values: list[float] = LOGITS) -> torch.Tensor:
    return torch.tensor([values])


def support(sampling: Sampling, values: list[float] = LOGITS, steps: int = 400) -> set[int]:
    """Every token that some noise leads to."""
    return {draw(row(values), [(sampling, (n + 0.5) / steps)])[0] for n in range(steps)}


def test_noise_is_a_function_of_seed_and_position_and_evenly_spread() -> None:
    assert noise(3, 5) == noise(3, 5)
    assert len({noise(seed, position) for seed in range(20) for position in range(20)}) == 400
    values = [noise(1, position) for position in range(4000)]
    assert 0 < min(values) < max(values) < 1
    assert abs(sum(values) / 4000 - 0.5) < 0.02
    assert abs(sum(value < 0.1 for value in values) / 4000 - 0.1) < 0.02


def test_the_branch_seed_comes_before_the_seed_of_the_call() -> None:
    assert seed_of(Sampling(seed=4, branch_seed=0)) == 0
    assert seed_of(Sampling(seed=4)) == 4
    assert seed_of(Sampling()) == 0


def test_zero_temperature_takes_the_likeliest() -> None:
    assert draw(row(), [(Sampling(temperature=0), 0.999)]) == [0]


def test_the_shares_are_those_of_the_softmax() -> None:
    steps = 20000
    logits = row().expand(steps, -1)
    drawn = Counter(draw(logits, [(Sampling(temperature=0.7), (n + 0.5) / steps) for n in range(steps)]))
    weights = [math.exp(value / 0.7) for value in LOGITS]
    for token, weight in enumerate(weights):
        assert drawn[token] / steps == pytest.approx(weight / sum(weights), abs=2 / steps)


def test_top_k_keeps_the_k_likeliest() -> None:
    assert support(Sampling(top_k=1)) == {0}
    assert support(Sampling(top_k=2)) == {0, 1}
    assert support(Sampling(top_k=99)) == {0, 1, 2, 3}


def test_top_p_keeps_the_smallest_set_that_fills_it() -> None:
    """Shares of the first four: 0.644, 0.237, 0.087, 0.032."""
    assert support(Sampling(top_p=0.6)) == {0}
    assert support(Sampling(top_p=0.65)) == {0, 1}
    assert support(Sampling(top_p=0.9)) == {0, 1, 2}
    assert support(Sampling(top_p=1e-9)) == {0}


def test_min_p_keeps_what_is_likely_beside_the_likeliest() -> None:
    """Ratios to the likeliest: 1, 0.368, 0.135, 0.050."""
    assert support(Sampling(min_p=0.3)) == {0, 1}
    assert support(Sampling(min_p=0.1)) == {0, 1, 2}
    assert support(Sampling(min_p=1.0)) == {0}


def test_filters_follow_the_temperature() -> None:
    assert support(Sampling(top_p=0.65, temperature=0.25)) == {0}
    assert support(Sampling(min_p=0.3, temperature=4.0)) == {0, 1, 2, 3}


def test_a_bias_is_added_before_everything() -> None:
    banned = Sampling(logit_bias=((0, -math.inf),))
    assert 0 not in support(banned)
    assert draw(row(), [(replace(banned, temperature=0), 0.5)]) == [1]
    logits = row()
    draw(logits, [(Sampling(logit_bias=((4, 99.0),)), 0.5)])
    assert logits.tolist() == [LOGITS]


def test_a_tiny_temperature_does_not_overflow() -> None:
    assert draw(row([1e4, 9e3, -1e4]), [(Sampling(temperature=1e-6), 0.9)]) == [0]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 2), st.integers(0, 6), st.floats(0.05, 1), st.floats(0.01, 0.99)), min_size=1),
    st.randoms(use_true_random=False),
)
def test_a_row_takes_no_notice_of_the_others(asked: list[tuple[float, int, float, float]], random: object) -> None:
    rows = [(Sampling(temperature=heat, top_k=k, top_p=p), point) for heat, k, p, point in asked]
    logits = torch.randn(len(rows), 12, generator=torch.Generator().manual_seed(len(rows)))
    alone = [draw(logits[index : index + 1], [one])[0] for index, one in enumerate(rows)]
    assert draw(logits, rows) == alone


@given(st.floats(1e-12, 1 - 1e-12))
def test_nothing_impossible_is_ever_drawn(point: float) -> None:
    values = [-math.inf, 0.0, -math.inf, 0.0, -math.inf]
    assert draw(row(values), [(Sampling(), point)])[0] in (1, 3)


def test_logprobs_are_sorted_and_at_temperature_one() -> None:
    one = logprob(torch.tensor(LOGITS), 2, 3, str)
    total = math.log(sum(math.exp(value) for value in LOGITS))
    assert one.token == "2"
    assert one.logprob == pytest.approx(0.0 - total, abs=1e-5)
    assert [name for name, _ in one.top] == ["0", "1", "2"]
    assert [value for _, value in one.top] == pytest.approx([2 - total, 1 - total, -total], abs=1e-5)
    assert len(logprob(torch.tensor(LOGITS), 2, 999, str).top) == 5
