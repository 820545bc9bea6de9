"""Golden numbers are worked out by hand or with a script apart from this code; formulas are in docs/statistics.md."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.bench import metrics
from ponder.bench.metrics import Point
from ponder.core.errors import DataError


def test_accuracy_is_a_mean_over_questions() -> None:
    assert metrics.accuracy([[True, True, True, True], [False]]) == 0.5
    assert metrics.accuracy([[True, None], [None], [False, True]]) == 0.75
    assert metrics.accuracy([[None], []]) is None


@pytest.mark.parametrize(
    ("n", "c", "k", "value"),
    [
        (10, 3, 1, 0.3),
        (10, 3, 2, 0.533333),
        (10, 3, 5, 0.916667),
        (16, 4, 1, 0.25),
        (16, 4, 4, 0.728022),
        (16, 4, 8, 0.961538),
    ],
)
def test_pass_at_k_golden(n: int, c: int, k: int, value: float) -> None:
    assert metrics.pass_at_k(n, c, k) == pytest.approx(value, abs=5e-7)


@pytest.mark.parametrize(("k", "split", "lost"), [(1, 0.5, 0.5), (3, 0.583333, 0.5), (5, 0.678571, 0.5), (10, 1, 1)])
def test_maj_at_k_golden(k: int, split: float, lost: float) -> None:
    assert metrics.maj_at_k(5, [3, 2], k) == pytest.approx(split, abs=5e-7)
    assert metrics.maj_at_k(5, [3, 2], k, ties_win=False) == pytest.approx(lost, abs=5e-7)


@pytest.mark.parametrize(("k", "value"), [(1, 0.6), (2, 0.5), (3, 0.4), (5, 0)])
def test_bon_at_k_golden(k: int, value: float) -> None:
    assert metrics.bon_at_k([0.9, 0.8, 0.7, 0.6, 0.5], [False, True, True, False, True], k) == pytest.approx(value)


def test_weighted_at_k_golden() -> None:
    """12, 15, 12, 15, 15 with scores .9 .3 .8 .4 .2: 1.7 against 0.9 for 12, which the majority votes down."""
    answers, scores = [0, 1, 0, 1, 1], [0.9, 0.3, 0.8, 0.4, 0.2]
    right = [answer == 0 for answer in answers]
    assert metrics.weighted_at_k(scores, answers, right, 5)[4] == 1
    assert metrics.maj_at_k(2, [3], 5) == 0
    # All 60 orders of three: only the draw of all three 15 has none to outvote it, as 12 weighs more than any two.
    assert metrics.weighted_at_k(scores, answers, right, 3)[2] == pytest.approx(0.9)
    assert metrics.weighted_at_k([1.0] * 5, answers, right, 5) == pytest.approx(
        [metrics.maj_at_k(2, [3], k) for k in range(1, 6)]
    )
    assert metrics.weighted_at_k([0.0, 0.0], [None, 0], [True, True], 2) == [0.5, 1]
    # 1 + 2 and 3 tie to the last bit: the answer drawn first wins, in four of six orders.
    assert metrics.weighted_at_k([1.0, 2.0, 3.0], [0, 0, 1], [True, True, False], 3)[2] == pytest.approx(2 / 3)
    assert metrics.weighted_at_k([1e-300, 1.0], [0, 1], [True, False], 2) == [0.5, 0]
    with pytest.raises(DataError, match="k must be 1 to 2"):
        metrics.weighted_at_k([1.0, 1.0], [0, 1], [True, False], 3)


@given(st.lists(st.tuples(st.none() | st.integers(0, 3), st.integers(0, 4)), min_size=1, max_size=5), st.data())
def test_weighted_at_k_equals_full_enumeration(samples: list[tuple[int | None, int]], data: st.DataObject) -> None:
    answers, weights = [answer for answer, _ in samples], [float(weight) for _, weight in samples]
    right = [answer == 0 for answer in answers]
    k = data.draw(st.integers(1, len(samples)))
    won = []
    for order in itertools.permutations(range(len(samples)), k):
        sums: dict[int, float] = {}
        for i in order:
            answer = answers[i]
            if answer is not None:
                sums[answer] = sums.get(answer, 0) + weights[i]
        won.append(max(sums, key=sums.__getitem__, default=None) == 0)
    assert metrics.weighted_at_k(weights, answers, right, k)[-1] == pytest.approx(sum(won) / len(won))


def test_weighted_at_k_by_random_draws_is_near_and_repeats() -> None:
    rng = random.Random(1)
    answers = [rng.choice([0, 0, 1, 2, None]) for _ in range(16)]
    right = [answer == 0 for answer in answers]
    drawn = metrics.weighted_at_k([1.0] * 16, answers, right, 16, draws=4000)
    counts = Counter(answer for answer in answers if answer is not None)
    exact = [metrics.maj_at_k(counts[0], [counts[1], counts[2]], k, silent=answers.count(None)) for k in range(1, 17)]
    assert drawn == pytest.approx(exact, abs=0.03)
    assert drawn == metrics.weighted_at_k([1.0] * 16, answers, right, 16, draws=4000)
    assert drawn != metrics.weighted_at_k([1.0] * 16, answers, right, 16, draws=4000, seed=1)


def first_seen_vote(answers: tuple[str | None, ...]) -> str | None:
    counts = Counter(answer for answer in answers if answer is not None)
    return max(counts, key=counts.__getitem__, default=None)


@given(
    st.integers(0, 4),
    st.lists(st.integers(1, 3), max_size=3),
    st.integers(0, 2),
    st.data(),
)
def test_estimators_equal_full_enumeration(correct: int, wrong: list[int], silent: int, data: st.DataObject) -> None:
    answers: list[str | None] = ["right"] * correct + [None] * silent
    for i, size in enumerate(wrong):
        answers += [f"wrong {i}"] * size
    n = min(len(answers), 7)
    if n < len(answers) or not n:
        return
    k = data.draw(st.integers(1, n))
    scores = data.draw(st.lists(st.integers(0, 3), min_size=n, max_size=n))
    # Every order of every draw: the vote whose ties go to the answer seen first.
    voted = [first_seen_vote(order) for order in itertools.permutations(answers, k)]
    assert metrics.maj_at_k(correct, wrong, k, silent=silent) == pytest.approx(voted.count("right") / len(voted))
    draws = list(itertools.combinations(range(n), k))
    passed = sum(any(answers[i] == "right" for i in draw) for draw in draws) / len(draws)
    assert metrics.pass_at_k(n, correct, k) == pytest.approx(passed)
    best = sum(answers[max(draw, key=lambda i: (scores[i], -i))] == "right" for draw in draws) / len(draws)
    assert metrics.bon_at_k(scores, [a == "right" for a in answers], k) == pytest.approx(best)


def test_one_draw_and_all_draws() -> None:
    rng = random.Random(0)
    for _ in range(50):
        n = rng.randint(1, 40)
        c = rng.randint(0, n)
        correct = [i < c for i in range(n)]
        scores = [rng.random() for _ in range(n)]
        assert metrics.pass_at_k(n, c, 1) == pytest.approx(c / n)
        assert metrics.maj_at_k(c, [n - c] if n > c else [], 1) == pytest.approx(c / n)
        assert metrics.bon_at_k(scores, correct, 1) == pytest.approx(c / n)
        assert metrics.pass_at_k(n, c, n) == (c > 0)
        curve = [metrics.pass_at_k(n, c, k) for k in range(1, n + 1)]
        assert curve == sorted(curve)


def test_votes_over_many_answers_are_exact_and_quick() -> None:
    wrong = [45, 20, 10] + [1] * 40
    answers = ["right"] * 60 + [None] * 20 + [f"wrong {i}" for i, size in enumerate(wrong) for _ in range(size)]
    rng = random.Random(0)
    votes = [first_seen_vote(tuple(rng.sample(answers, 24))) for _ in range(4000)]
    assert metrics.maj_at_k(60, wrong, 24, silent=20) == pytest.approx(votes.count("right") / 4000, abs=0.02)
    assert metrics.maj_at_k(0, [3], 2, silent=2) == 0
    assert metrics.maj_at_k(1, [], 3, silent=4) == pytest.approx(3 / 5)


def test_draws_that_cannot_be() -> None:
    for k in (0, 11):
        with pytest.raises(DataError, match="k must be 1 to 10"):
            metrics.pass_at_k(10, 3, k)
        with pytest.raises(DataError, match="cannot be drawn"):
            metrics.maj_at_k(5, [5], k)


BASE = [900, 700, 1500, 800, 2000, 650, 1200, 1800, 400, 550]
NEW = [500, 450, 900, 420, 1500, 300, 800, 1400, 260, 330]


def test_three_ratios_answer_three_questions() -> None:
    assert metrics.compression_ratio(NEW, BASE) == pytest.approx(0.6533, abs=5e-5)
    assert metrics.mean_of_ratios(NEW, BASE) == pytest.approx(0.6229, abs=5e-5)
    assert metrics.geometric_ratio(NEW, BASE) == pytest.approx(0.6161, abs=5e-5)
    assert metrics.token_saving(NEW, BASE) == pytest.approx(1 - 0.6533, abs=5e-5)
    assert metrics.compression_ratio([1, 1, 1], [2]) == 0.5


def test_tokens_per_correct_golden() -> None:
    assert metrics.tokens_per_correct(sum(BASE), 7) == 1500
    assert metrics.tokens_per_correct(sum(NEW), 7) == 980
    assert metrics.tokens_per_correct(sum(NEW), 0) is None


@pytest.mark.parametrize(
    ("accuracy", "tokens", "value"),
    [(0.82, 600, 0.475), (0.76, 400, 0.35), (0.64, 200, -0.2), (0.8, 1000, 0), (0.76, 280, 0.47)],
)
def test_aes_golden(accuracy: float, tokens: float, value: float) -> None:
    base = Point(1000, 0.8)
    assert metrics.aes(Point(tokens, accuracy), base) == pytest.approx(value)


def test_aes_weights_and_undefined() -> None:
    assert metrics.aes(Point(400, 0.76), Point(1000, 0.8), gamma=10) == pytest.approx(0.6 - 0.5)
    assert metrics.aes(Point(400, 0.88), Point(1000, 0.8), alpha=2, beta=5) == pytest.approx(1.2 + 0.5)
    assert metrics.aes(Point(400, 0.1), Point(1000, 0)) is None


def test_outcome_and_process_efficiency_golden() -> None:
    rounds = [40, 30, 20, 10]
    assert metrics.outcome_efficiency(rounds, [False, True, True, True]) == pytest.approx(0.7)
    assert metrics.process_efficiency(rounds, [0, 1, 0, 1]) == pytest.approx(0.7)
    assert metrics.outcome_efficiency([40, 30], [False, False]) == 0
    assert metrics.process_efficiency([40, 30], [0, 0]) == pytest.approx(0.571, abs=5e-4)
    # Token efficiency in its inclusive form: the paragraph that is right counts.
    assert metrics.outcome_efficiency([100, 50, 50], [False, True, False]) == 0.75
    assert metrics.outcome_efficiency([100, 50, 50], [True, False, False]) == 0.5


def test_underthinking_golden() -> None:
    assert metrics.underthinking([1000, 800, 500], [200, None, 450]) == pytest.approx(0.3)
    assert metrics.underthinking([], []) is None


POINTS = [Point(200, 0.5), Point(400, 0.7), Point(600, 0.65), Point(800, 0.8)]


def test_frontier_and_hypervolume_golden() -> None:
    assert metrics.frontier(POINTS) == [0, 1, 3]
    assert metrics.hypervolume(POINTS, 1000) == pytest.approx(540)
    assert metrics.hypervolume(POINTS, 1000) / 1000 == pytest.approx(0.54)
    assert metrics.hypervolume([], 1000) == 0
    assert metrics.hypervolume([Point(1000, 0.9), Point(1200, 1.0)], 1000) == 0


def test_equal_points_are_both_on_the_frontier() -> None:
    points = [Point(100, 0.5), Point(100, 0.5), Point(100, 0.4), Point(120, 0.5), Point(90, 0.1)]
    assert sorted(metrics.frontier(points)) == [0, 1, 4]


point = st.builds(Point, st.integers(1, 1200).map(float), st.floats(0, 1))


@given(st.lists(point, min_size=1, max_size=8), point)
def test_hypervolume_never_falls_and_ignores_the_dominated(points: list[Point], new: Point) -> None:
    before = metrics.hypervolume(points, 1000)
    after = metrics.hypervolume([*points, new], 1000)
    assert after >= before - 1e-9
    kept = metrics.frontier([*points, new])
    if len(points) not in kept:
        assert after == pytest.approx(before)
    for i, candidate in enumerate(points):
        beaten = any(
            p.tokens <= candidate.tokens and p.accuracy >= candidate.accuracy and p != candidate for p in [*points, new]
        )
        assert (i in kept) == (not beaten)


def test_mixture_line_is_straight_between_the_constants() -> None:
    cheap, dear = (100, 0.2), (300, 0.6)
    tokens = [0, 50, 100, 150, 200, 300, 900]
    expected = [0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.6]
    assert metrics.mixture_line(tokens, cheap, dear) == pytest.approx(expected)
    assert metrics.mixture_line(tokens, dear, cheap) == pytest.approx(expected)


def test_mixture_line_never_falls() -> None:
    assert metrics.mixture_line([50, 100, 200, 300, 400], (100, 0.7), (300, 0.4)) == pytest.approx([0.35] + [0.7] * 4)
    assert metrics.mixture_line([50, 100, 200], (100, 0.7), (100, 0.4)) == pytest.approx([0.35, 0.7, 0.7])
    assert metrics.mixture_line([0, 10], (0, 0.1), (20, 0.5)) == pytest.approx([0.1, 0.3])
    assert metrics.mixture_line(5, (0, 0.1), (0, 0.3)) == pytest.approx(0.3)


def test_mixture_line_is_what_a_coin_reaches() -> None:
    rng = np.random.default_rng(0)
    n = 200_000
    cheap_right, dear_right = rng.random(n) < 0.3, rng.random(n) < 0.8
    coin = rng.random(n) < 0.25
    tokens = np.where(coin, 900, 100).mean()
    accuracy = np.where(coin, dear_right, cheap_right).mean()
    assert float(metrics.mixture_line(tokens, (100, 0.3), (900, 0.8))) == pytest.approx(accuracy, abs=0.005)


def test_mixture_line_takes_replicates() -> None:
    tokens, cheap, dear = np.array([150.0, 250.0]), np.array([100.0, 300.0]), np.array([200.0, 200.0])
    line = metrics.mixture_line(tokens, (cheap, np.array([0.2, 0.9])), (dear, np.array([0.4, 0.5])))
    assert line == pytest.approx([0.3, 0.7])


def test_token_elasticity_golden() -> None:
    found = metrics.token_elasticity([258, 129, 64, 32, 16, 8], [258, 180, 120, 86, 140, 190])
    assert (found.best_budget, found.fewest_tokens) == (32, 86)
    assert found.slopes == pytest.approx((0.519, 0.578, 0.481, -0.703, -0.441), abs=5e-4)


@pytest.mark.parametrize(
    ("lengths", "grades", "tau", "agreement"),
    [
        ((20, 45, 60, 120, 200), (0, 0, 1, 1, 1), 60, 1),
        ((20, 45, 60, 120, 200), (0, 1, 0, 1, 1), 45, 0.8),
        ((20, 45, 60), (1, 0, 0), math.inf, 2 / 3),
        ((10, 30, 50, 60, 90, 200), (0, 0, 1, 0, 1, 1), 50, 5 / 6),
        ((10, 20, 30), (1, 0, 0), math.inf, 2 / 3),
        ((10, 20, 30), (1, 1, 1), 10, 1),
        ((10, 20, 30), (0, 0, 0), math.inf, 1),
    ],
)
def test_token_complexity_golden(
    lengths: tuple[int, ...], grades: tuple[int, ...], tau: float, agreement: float
) -> None:
    found = metrics.token_complexity(lengths, [bool(grade) for grade in grades])
    assert found == pytest.approx((tau, agreement))


def test_bounds_of_token_complexity_golden() -> None:
    complexities = [90, 30, math.inf, 60]
    assert [metrics.accuracy_bound(complexities, budget) for budget in (7.5, 22.5, 45, 1e9)] == [0.25, 0.5, 0.75, 0.75]
    assert metrics.fewest_tokens(complexities, 0.5) == 22.5
    assert metrics.fewest_tokens(complexities, 1.0) == math.inf
    other = [9, 50, 80, math.inf]
    assert metrics.fewest_tokens(other, 0.75) == 34.75
    assert [metrics.accuracy_bound(other, budget) for budget in (20, 36, 40)] == [0.5, 0.75, 0.75]
    released = [metrics.accuracy_bound(other, budget, as_released=True) for budget in (20, 36, 40)]
    assert released == [0.5, 0.5, 0.75]
    assert metrics.accuracy_bound([math.inf], 9, as_released=True) == 0


@pytest.mark.parametrize(
    ("took", "wrong", "ideal", "asked"),
    [
        ({129: 140, 64: 90, 32: 120}, (), 64, [129, 64, 32]),
        ({129: 140, 64: 90, 32: 90}, (), 64, [129, 64, 32]),
        ({129: 140, 64: 90}, (64,), 129, [129, 64]),
        ({129: 140}, (129,), 258, [129]),
        ({129: 258}, (), 258, [129]),
    ],
)
def test_the_budget_search_halves_while_it_pays(
    took: dict[int, int], wrong: tuple[int, ...], ideal: int, asked: list[int]
) -> None:
    seen: list[int] = []

    def attempt(budget: int) -> tuple[int, bool]:
        seen.append(budget)
        return took[budget], budget not in wrong

    assert metrics.budget_search(258, attempt) == ideal
    assert seen == asked


@pytest.mark.parametrize(("tokens", "ideal"), [(0, 0), (1, 1), (5, 1)])
def test_the_budget_search_ends_at_one_token(tokens: int, ideal: int) -> None:
    assert metrics.budget_search(tokens, lambda budget: (budget, True)) == ideal


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=60), st.data())
def test_the_bound_at_the_fewest_tokens_reaches_the_target(complexities: list[int], data: st.DataObject) -> None:
    n = len(complexities)
    target = data.draw(st.integers(0, n)) / n
    assert metrics.accuracy_bound(complexities, metrics.fewest_tokens(complexities, target)) >= target
    assert metrics.accuracy_bound([*complexities, math.inf], math.inf) == n / (n + 1)


def test_accuracy_within_limits_golden() -> None:
    correct, lengths = [True, True, False, True], [30, 60, 20, 45]
    assert metrics.hard_accuracy(correct, lengths, 40) == 0.25
    assert metrics.soft_accuracy(correct, lengths, 40) == pytest.approx(0.43547, abs=5e-6)
    assert metrics.consistent_accuracy(correct, lengths, 40) == pytest.approx(0.43547, abs=5e-6)
    assert metrics.consistent_accuracy(correct, lengths, 40, beta=10) == pytest.approx(0.26005, abs=5e-6)
    assert metrics.soft_accuracy(correct, lengths, 100_000) == 0.75


def test_scaling_and_control_golden() -> None:
    points = [Point(1000, 30), Point(2000, 40), Point(4000, 50)]
    assert metrics.scaling(points) == pytest.approx(0.0072222, abs=5e-8)
    assert metrics.scaling(points[:1]) is None
    assert metrics.control([1500, 2048, 2049, 900, 3000], 2048) == pytest.approx(0.6)
    assert metrics.control([1500, 2048, 2049, 900, 3000], 2048, least=1000) == pytest.approx(0.4)
