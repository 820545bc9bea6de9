"""Golden numbers are worked out by hand or with a script apart from this code."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.bench import stats
from ponder.bench.stats import Interval
from ponder.core.errors import DataError

# Ten questions, answered by a baseline and by a shorter method.
BASE_RIGHT = [1, 1, 0, 1, 0, 1, 1, 0, 1, 1]
NEW_RIGHT = [1, 1, 1, 1, 0, 1, 0, 0, 1, 1]
BASE_TOKENS = [900, 700, 1500, 800, 2000, 650, 1200, 1800, 400, 550]
NEW_TOKENS = [500, 450, 900, 420, 1500, 300, 800, 1400, 260, 330]


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [(18, 20, 0.699, 0.972), (20, 20, 0.839, 1), (0, 30, 0, 0.114), (13, 30, 0.274, 0.608), (450, 500, 0.871, 0.923)],
)
def test_wilson_golden(k: int, n: int, low: float, high: float) -> None:
    assert stats.wilson(k, n) == pytest.approx((low, high), abs=5e-4)


@given(st.integers(0, 400).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_stays_in_range_and_contains_the_share(kn: tuple[int, int]) -> None:
    k, n = kn
    low, high = stats.wilson(k, n)
    assert 0 <= low <= high <= 1
    if n:
        assert low <= k / n <= high
    mirrored = stats.wilson(n - k, n)
    assert (1 - mirrored.high, 1 - mirrored.low) == pytest.approx((low, high), abs=1e-12)


def test_wilson_narrows_with_confidence_and_refuses_nonsense() -> None:
    wide, narrow = stats.wilson(30, 60, 0.99), stats.wilson(30, 60, 0.8)
    assert wide.low < narrow.low < 0.5 < narrow.high < wide.high
    assert stats.wilson(0, 0) == (0, 1)
    with pytest.raises(DataError, match="21 right answers of 20"):
        stats.wilson(21, 20)


def test_mcnemar_golden() -> None:
    found = stats.mcnemar(3, 12)
    assert found.exact == pytest.approx(0.0352, abs=5e-5)
    assert found.mid_p == pytest.approx(0.0213, abs=5e-5)
    assert found.chi2_corrected == pytest.approx(0.0389, abs=5e-5)
    assert found.chi2 == pytest.approx(0.0201, abs=5e-5)


@given(st.integers(0, 60), st.integers(0, 60))
def test_mcnemar_is_symmetric_and_one_at_a_draw(b: int, c: int) -> None:
    assert stats.mcnemar(b, c) == stats.mcnemar(c, b)
    assert stats.mcnemar(b, b) == pytest.approx((1, 1, 1, 1))
    assert all(0 <= p <= 1 for p in stats.mcnemar(b, c))


def test_mcnemar_of_very_many_questions_is_still_exact() -> None:
    n, k = 20_000, 9_800
    below, at = (float(sum(Fraction(math.comb(2_000, i), 2**2_000) for i in ks)) for ks in (range(980), [980]))
    found = stats.mcnemar(980, 1_020)
    assert (found.exact, found.mid_p) == pytest.approx((2 * (below + at), 2 * below + at))
    # Far more of them: the normal approximation with correction is good to three digits.
    assert stats.mcnemar(k, n - k).exact == pytest.approx(stats.mcnemar(k, n - k).chi2_corrected, rel=1e-3)


def test_mcnemar_without_discordance_says_nothing() -> None:
    assert stats.mcnemar(0, 0) == (1, 1, 1, 1)
    assert stats.mcnemar(0, 1).exact == 1
    assert stats.mcnemar(0, 6).exact == pytest.approx(2 / 64)


def test_indices_are_the_unchunked_draw() -> None:
    whole = np.random.default_rng(12345).integers(0, 1319, (700, 1319))
    blocks = list(stats.resampled_indices(1319, 700, 12345))
    assert len(blocks) > 3
    assert np.array_equal(np.concatenate(blocks), whole)


def test_blocks_stay_small() -> None:
    largest = max(block.size for block in stats.resampled_indices(100_000, 20, 0))
    assert largest <= 1 << 18
    one = next(stats.resampled_indices(1_000_000, 3, 0))
    assert one.shape == (1, 1_000_000)


def test_means_are_those_of_the_drawn_questions() -> None:
    values = np.arange(37.0) ** 2
    drawn = np.random.default_rng(3).integers(0, 37, (50, 37))
    means = stats.resampled_means([values, -values], 50, 3)
    assert means[:, 0] == pytest.approx(values[drawn].mean(axis=1))
    assert np.array_equal(means[:, 1], -means[:, 0])


def test_bootstrap_golden() -> None:
    change = stats.difference(NEW_RIGHT, BASE_RIGHT, seed=12345)
    assert change.value == pytest.approx(0)
    assert change.interval == pytest.approx((-0.3, 0.3), abs=1e-9)
    ratio = stats.ratio(NEW_TOKENS, BASE_TOKENS, seed=12345)
    assert ratio.value == pytest.approx(0.6533, abs=5e-5)
    assert ratio.interval == pytest.approx((0.574, 0.712), abs=5e-4)
    saved = stats.saving(NEW_TOKENS, BASE_TOKENS, seed=12345)
    assert saved.value == pytest.approx(1 - ratio.value)
    assert saved.interval == pytest.approx((1 - ratio.interval.high, 1 - ratio.interval.low))


def test_ratio_interval_hardly_depends_on_the_seed() -> None:
    bounds = [stats.ratio(NEW_TOKENS, BASE_TOKENS, seed=seed).interval for seed in range(4)]
    for one, other in itertools.combinations(bounds, 2):
        assert one == pytest.approx(other, abs=0.006)


def test_pairing_is_what_makes_the_interval_narrow() -> None:
    new, base = np.array(NEW_RIGHT, float), np.array(BASE_RIGHT, float)
    paired = (new - base).std(ddof=1) / math.sqrt(10)
    unpaired = math.sqrt(new.var(ddof=1) / 10 + base.var(ddof=1) / 10)
    assert (paired, unpaired) == pytest.approx((0.149, 0.216), abs=5e-4)
    replicates = stats.resampled_means([new, base], 10_000, 0)
    bootstrapped = (replicates[:, 0] - replicates[:, 1]).std()
    assert bootstrapped == pytest.approx(paired * math.sqrt(9 / 10), rel=0.03)


def test_an_arm_against_itself_has_no_width() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 7, 100, 1319):
        tokens = rng.integers(1, 2000, n) / 3
        assert stats.difference(tokens, tokens, 500).interval == (0, 0)
        assert stats.ratio(tokens, tokens, 500).interval == (1, 1)


def test_swapping_arms_flips_the_sign() -> None:
    low, high = stats.difference(NEW_TOKENS, BASE_TOKENS, seed=7).interval
    assert stats.difference(BASE_TOKENS, NEW_TOKENS, seed=7).interval == pytest.approx((-high, -low))


def test_any_statistic_agrees_with_the_means() -> None:
    new, base = np.array(NEW_TOKENS, float), np.array(BASE_TOKENS, float)
    found = stats.bootstrap(lambda i: float(new[i].mean() / base[i].mean()), 10, 2000, seed=5)
    expected = stats.ratio(new, base, 2000, seed=5)
    assert found.value == pytest.approx(expected.value)
    assert found.interval == pytest.approx(expected.interval)
    median = stats.bootstrap(lambda i: float(np.median(new[i])), 10, 2000, seed=5)
    assert median.interval.low <= median.value == 475 <= median.interval.high


@pytest.mark.parametrize("seed", [1])
def test_interval_covers_the_truth_as_often_as_it_says(seed: int) -> None:
    rng = np.random.default_rng(seed)
    covered, runs, n = 0, 500, 200
    for run in range(runs):
        base = rng.random(n) < 0.6
        new = np.where(rng.random(n) < 0.2, rng.random(n) < 0.5, base)
        truth = 0.8 * 0.6 + 0.2 * 0.5 - 0.6
        low, high = stats.difference(new, base, 400, seed=run).interval
        covered += low <= truth <= high
    assert 0.93 <= covered / runs <= 0.97


@given(st.tuples(*[st.integers(0, 40)] * 4))
def test_paired_score_interval_contains_the_change_and_flips(table: tuple[int, int, int, int]) -> None:
    both, gains, losses, neither = table
    n = sum(table)
    low, high = stats.paired_score_interval(both, gains, losses, neither)
    flipped = stats.paired_score_interval(both, losses, gains, neither)
    assert (-flipped.high, -flipped.low) == pytest.approx((low, high), abs=1e-12)
    assert -1 <= low <= high <= 1
    if n:
        assert low - 1e-12 <= (gains - losses) / n <= high + 1e-12


def test_paired_score_interval_has_a_width_without_any_difference() -> None:
    assert stats.paired_score_interval(20, 0, 0, 0).low == pytest.approx(stats.wilson(20, 20).low - 1)
    assert stats.paired_score_interval(10, 0, 0, 10).low < -0.05
    assert stats.paired_score_interval(700, 0, 0, 300).low > -0.02
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(1000):
        base, flip = rng.random(60) < 0.7, rng.random(60) < 0.15
        new = base ^ flip
        both, gains = int((new & base).sum()), int((new & ~base).sum())
        losses = int((base & ~new).sum())
        low, high = stats.paired_score_interval(both, gains, losses, 60 - both - gains - losses)
        covered += low <= 0.15 * (0.3 - 0.7) <= high
    assert 0.93 <= covered / 1000 <= 0.98


def test_question_means_keep_samples_of_a_question_together() -> None:
    means = stats.question_means([0, 0, 2, 0, 2], [1, 2, 5, 3, 7], 4)
    assert means[[0, 2]] == pytest.approx([2, 6])
    assert np.isnan(means[[1, 3]]).all()


def test_cluster_bootstrap_is_wider_than_one_over_samples() -> None:
    rng = np.random.default_rng(0)
    hard = rng.random(60)
    samples = (rng.random((60, 16)) < hard[:, None]).astype(float)
    clustered = stats.percentile_interval(stats.resampled_means([samples.mean(axis=1)], 2000, 0))
    naive = stats.percentile_interval(stats.resampled_means([samples.ravel()], 2000, 0))
    assert clustered.high - clustered.low > 1.8 * (naive.high - naive.low)


def test_percentiles_are_linear() -> None:
    assert stats.percentile_interval(range(1001)) == pytest.approx((25, 975))
    assert stats.percentile_interval([0, 1], 0.5) == pytest.approx((0.25, 0.75))


def test_non_inferior_looks_at_the_lower_bound_only() -> None:
    assert stats.non_inferior(Interval(-0.049, 0.2), 0.05)
    assert not stats.non_inferior(Interval(-0.05, 0.2), 0.05)
    assert stats.non_inferior(Interval(0.01, 0.02), 0.0001)


def test_how_many_questions_a_claim_takes() -> None:
    assert stats.questions_to_see(0.03, 0.1) == pytest.approx(870, abs=1)
    assert stats.questions_for_margin(0.03, 0.1) == pytest.approx(872, abs=1)
    assert stats.questions_for_margin(0.02, 0.1) == pytest.approx(1962, abs=1)
    assert [stats.questions_for_margin(margin, 0.1) for margin in (0.03, 0.02)] == [873, 1963]
    assert stats.questions_for_margin(0.02, 0.067) <= 1319 < stats.questions_for_margin(0.02, 0.068)
    few = stats.questions_for_margin(0.05, 0)
    assert stats.wilson(0, few).high <= 0.05 < stats.wilson(0, few - 1).high
    with pytest.raises(DataError, match="at least that share"):
        stats.questions_to_see(0.2, 0.1)
    with pytest.raises(DataError, match="margin must be above 0"):
        stats.questions_for_margin(0, 0.1)


def test_holm_golden() -> None:
    assert stats.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert stats.holm([0.5, 0.9]) == [1.0, 1.0]
    assert stats.holm([]) == []


@given(st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_holm_keeps_order_and_never_lowers(p_values: list[float]) -> None:
    adjusted = stats.holm(p_values)
    assert all(p <= q <= 1 for p, q in zip(p_values, adjusted, strict=True))
    order = sorted(range(len(p_values)), key=p_values.__getitem__)
    assert [adjusted[i] for i in order] == sorted(adjusted)


def test_safe_ratio_of_nothing() -> None:
    found = stats.safe_ratio(np.array([0.0, 1.0, 0.0, 3.0]), np.array([0.0, 0.0, 2.0, 2.0]))
    assert found.tolist() == [1, math.inf, 0, 1.5]


def test_broken_pairs_are_refused() -> None:
    with pytest.raises(DataError, match="equally long"):
        stats.difference([1, 2], [1, 2, 3])
    with pytest.raises(DataError, match="at least one question"):
        stats.difference([], [])
    with pytest.raises(DataError, match="baseline above zero"):
        stats.ratio([1, 2], [0, 0])
