from __future__ import annotations

import random
from math import inf, log, sqrt
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.steer.calibration import Calibration, auc, binomial_tail, load, proportional, save


def test_a_score_that_is_correctness_has_auc_1_and_a_constant_half() -> None:
    right = [1, 0, 1, 1, 0]
    assert auc(right, right) == 1.0
    assert auc([1 - mark for mark in right], right) == 0.0
    assert auc([0.3] * 5, right) == 0.5
    assert auc([1.0, 2.0], [1, 1]) == auc([], []) == 0.5


def test_auc_counts_pairs() -> None:
    dice = random.Random(0)
    scores, right = [dice.randint(0, 5) for _ in range(60)], [dice.randint(0, 1) for _ in range(60)]
    good = [s for s, mark in zip(scores, right, strict=True) if mark]
    bad = [s for s, mark in zip(scores, right, strict=True) if not mark]
    pairs = sum((g > b) + 0.5 * (g == b) for g in good for b in bad) / (len(good) * len(bad))
    assert auc(scores, right) == pytest.approx(pairs)


def test_a_threshold_sends_the_wanted_share() -> None:
    found = Calibration((0.9, 0.1, 0.5, 0.3, 0.7), (1, 0, 1, 0, 1), (1, 1, 1, 0, 1))
    for share, threshold, accuracy in ((0.0, -inf, 0.6), (0.2, 0.2, 0.8), (0.4, 0.4, 0.8), (1.0, inf, 0.8)):
        assert found.threshold(share) == pytest.approx(threshold)
        assert found.accuracy(found.threshold(share)) == pytest.approx((share, accuracy))


def test_equal_scores_are_never_parted_and_minus_infinity_goes_first() -> None:
    assert Calibration((1.0, 1.0, 1.0, 2.0), (1, 1, 1, 1)).threshold(0.5) == 1.0
    found = Calibration((-inf, -inf, -0.5, -0.1), (0, 0, 1, 1))
    assert found.threshold(0.5) == -0.5
    assert found.accuracy(-0.5)[0] == 0.5
    assert found.auc() == 1.0


@pytest.mark.parametrize(
    ("n", "epsilon", "k", "p"),
    [
        (400, 0.05, 5, 5.34e-5), (400, 0.05, 8, 1.716e-3), (400, 0.05, 10, 0.00940), (400, 0.05, 12, 0.03551),
        (400, 0.05, 15, 0.1499), (400, 0.05, 20, 0.5591),
    ],
)  # fmt: skip
def test_exact_p_values_are_those_of_the_notes(n: int, epsilon: float, k: int, p: float) -> None:
    assert binomial_tail(k, n, epsilon) == pytest.approx(p, rel=1e-3)


@pytest.mark.parametrize(
    ("n", "epsilon", "most"), [(100, 0.05, 1), (300, 0.05, 9), (500, 0.05, 18), (300, 0.02, 2), (1000, 0.02, 13)]
)
def test_as_many_harms_pass_as_the_notes_say(n: int, epsilon: float, most: int) -> None:
    """Harms come last, so that the walk from the certain end meets them one by one."""
    assert binomial_tail(most, n, epsilon) <= 0.1 < binomial_tail(most + 1, n, epsilon)
    scores = tuple(float(i) for i in range(n))
    weak = tuple(int(i >= n // 2) for i in range(n))
    found = Calibration(scores, weak, (1,) * n).certified(epsilon, 0.1)
    assert found.harms == most
    assert found.threshold == n // 2 - most
    assert found.share == pytest.approx((n // 2 - most) / n)
    assert found.p <= 0.1


def test_where_nothing_passes_all_is_sent_on() -> None:
    found = Calibration((0.5, 0.6), (1, 1), (1, 1)).certified(0.05, 0.1)
    assert (found.threshold, found.share) == (inf, 1.0)


def test_the_walk_ends_at_the_first_threshold_that_fails() -> None:
    """Harms near the certain end stop it, though the whole would pass: 4 harms among the first 100 of 1,000."""
    n, epsilon = 1000, 0.002
    scores = tuple(-float(i) for i in range(n))
    weak = tuple(int(i not in (3, 4, 5, 6)) for i in range(n))
    assert Calibration(scores, weak, (1,) * n).certified(epsilon, 0.1).threshold == inf
    p_zero = (1 - epsilon) ** n
    assert p_zero > 0.1


def test_the_guarantee_holds_in_simulation() -> None:
    """Weak is wrong with a chance that falls with the score; the true harm at the accepted threshold is known."""
    dice, epsilon, delta, violated, repeats = random.Random(1), 0.1, 0.1, 0, 300
    for _ in range(repeats):
        scores = tuple(dice.random() for _ in range(150))
        weak = tuple(int(dice.random() > 0.4 * (1 - score)) for score in scores)
        t = Calibration(scores, weak, (1,) * 150).certified(epsilon, delta).threshold
        true = 0.4 * (1 - min(t, 1.0)) ** 2 / 2  # the integral of 0.4 (1 - s) from t to 1
        violated += true > epsilon
    assert violated / repeats <= delta + 3 * sqrt(delta * (1 - delta) / repeats)


def test_a_proportional_draw_is_within_one_of_each_bin_s_share() -> None:
    dice = random.Random(0)
    scores = [log(dice.random()) for _ in range(700)] + [-inf] * 50
    drawn = proportional(scores, 75, bins=10)
    assert len(drawn) == len(set(drawn)) == 75
    low, high = min(s for s in scores if s > -inf), max(scores)

    def bin_of(score: float) -> int:
        return -1 if score == -inf else min(9, int((score - low) / (high - low) * 10))

    for one in range(-1, 10):
        held = sum(bin_of(score) == one for score in scores)
        taken = sum(bin_of(scores[place]) == one for place in drawn)
        assert abs(taken - 75 * held / 750) < 1
    assert proportional(scores, 75) == drawn
    assert proportional([0.5] * 4, 9) == [0, 1, 2, 3]
    assert proportional([], 3) == []


def test_a_file_holds_numbers_and_names_alone_and_comes_back(tmp_path: Path) -> None:
    found = Calibration((-0.25, -inf, 1.5), (1, 0, 1), (1, 1, 1), {"model": "m", "scorer": "mean_logprob"})
    save(tmp_path / "c.toml", found)
    assert load(tmp_path / "c.toml") == found
    assert load(tmp_path / "c.toml").names == found.names


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("kind = 'calibration'\nformat = 2", "of format 2, and what is read here is a calibration of format 1"),
        ("kind = 'router'\nformat = 1", "is a 'router' of format 1"),
        ("scores = [", "cannot be read"),
        ("kind = 'calibration'\nformat = 1\nscores = []\nweak = []", "must hold scores"),
        ("kind = 'calibration'\nformat = 1\nscores = [1.0]\nweak = []", "must hold scores"),
        ("kind = 'calibration'\nformat = 1\nscores = [nan]\nweak = [1]", "must hold scores"),
        ("kind = 'calibration'\nformat = 1\nscores = ['x']\nweak = [1]", "must hold scores"),
        ("kind = 'calibration'\nformat = 1\nscores = [1.0]\nweak = [2]", "must hold scores"),
        ("kind = 'calibration'\nformat = 1\nscores = [1.0, 2.0]\nweak = [1, 0]\nstrong = [1]", "must hold scores"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "c.toml").write_text(text)
    with pytest.raises(DataError, match=said):
        load(tmp_path / "c.toml")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.toml cannot be read"):
        load(tmp_path / "none.toml")
