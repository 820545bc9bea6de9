"""What is measured of efficient reasoning, each as a pure function; docs/statistics.md has every formula and source."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from itertools import accumulate, pairwise, permutations
from typing import TYPE_CHECKING, NamedTuple

from ponder.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import ArrayLike, NDArray

    Floats = NDArray[np.float64]


class Point(NamedTuple):
    """A method on the plane of cost and success: mean tokens a question, and accuracy in 0 to 1."""

    tokens: float
    accuracy: float


def accuracy(verdicts: Sequence[Sequence[bool | None]]) -> float | None:
    """Return the mean over questions of each question's mean over its samples.

    Samples that could not be judged (None) are left out, and so is a question that has no others; None if none has.
    """
    means = [sum(judged) / len(judged) for row in verdicts if (judged := [v for v in row if v is not None])]
    return sum(means) / len(means) if means else None


def pass_at_k(n: int, correct: int, k: int) -> float:
    """Return the chance that k of n samples, drawn without replacement, hold a right one (Chen et al., 2107.03374)."""
    _check_draw(n, k)
    return 1 - math.comb(n - correct, k) / math.comb(n, k)


def maj_at_k(correct: int, wrong: Sequence[int], k: int, *, silent: int = 0, ties_win: bool = True) -> float:
    """Return the exact chance that the vote of k of all samples, drawn without replacement, is right.

    `correct` counts the samples with the right answer, `wrong` those of each wrong answer, and `silent` those that
    state no answer: they are drawn but have no vote. A tie is split evenly among its answers, which is what the rule
    of the voting methods (the answer seen first wins) gives in the mean over the order of samples; with
    `ties_win=False` a tie is lost.
    """
    n = correct + sum(wrong) + silent
    _check_draw(n, k)
    won = Fraction(0)
    for votes in range(1, min(correct, k) + 1):
        # ways[(rest, ties)]: in how many ways the other answers fill the draw, none of them with more votes.
        ways = {(k - votes, 0): 1}
        for size in wrong:
            ways = _add_answer(ways, size, votes)
        for (rest, ties), count in ways.items():
            if ties == 0 or ties_win:
                won += Fraction(math.comb(correct, votes) * count * math.comb(silent, rest), 1 + ties)
    return float(won / math.comb(n, k))


def _add_answer(ways: dict[tuple[int, int], int], size: int, votes: int) -> dict[tuple[int, int], int]:
    """Let one more wrong answer take up to `votes` of what is left to draw."""
    found: dict[tuple[int, int], int] = {}
    for (rest, ties), count in ways.items():
        for taken in range(min(size, votes, rest) + 1):
            key = (rest - taken, ties + (taken == votes))
            found[key] = found.get(key, 0) + count * math.comb(size, taken)
    return found


def bon_at_k(scores: Sequence[float], correct: Sequence[bool], k: int) -> float:
    """Return the chance that the best-scored of k samples, drawn without replacement, is right.

    Of equal scores the sample that came first counts as the better one.
    """
    _check_draw(len(scores), k)
    best_last = sorted(range(len(scores)), key=lambda i: (scores[i], -i))
    won = sum(math.comb(rank, k - 1) for rank, i in enumerate(best_last) if correct[i])
    return won / math.comb(len(scores), k)


def weighted_at_k(
    weights: Sequence[float],
    answers: Sequence[int | None],
    correct: Sequence[bool],
    most: int,
    *,
    draws: int = 2000,
    seed: int = 0,
) -> list[float]:
    """Return the chance that the weighted vote of k samples, drawn without replacement, is right: for k = 1 to `most`.

    `weights` are not negative; `answers` are classes of equal answers, None for a sample without one, which is drawn
    but has no vote. There is no closed form, so this is the mean over `draws` random orders, or over all where there
    are no more. A tie goes to the answer drawn first; what wins is right if the sample that stated it first is.
    """
    n = len(weights)
    _check_draw(n, most)
    rng = random.Random(seed)
    every = math.perm(n, most) <= draws
    orders = list(permutations(range(n), most)) if every else [rng.sample(range(n), most) for _ in range(draws)]
    # Whole numbers, so that equal sums tie whatever the order of adding; exact, since denominators are powers of two.
    scale = max(Fraction(weight).denominator for weight in weights)
    whole = [int(Fraction(weight) * scale) for weight in weights]
    wins = [0] * most
    for order in orders:
        for k, winner in enumerate(_leaders(order, whole, answers)):
            wins[k] += winner is not None and correct[winner]
    return [won / len(orders) for won in wins]


def _leaders(order: Sequence[int], weights: Sequence[int], answers: Sequence[int | None]) -> Iterator[int | None]:
    """Yield, after each sample of a draw, the first one that states the answer which leads."""
    votes: dict[int, int] = {}
    first: dict[int, tuple[int, int]] = {}
    best: int | None = None
    for place, index in enumerate(order):
        answer = answers[index]
        if answer is not None:
            votes[answer] = votes.get(answer, 0) + weights[index]
            first.setdefault(answer, (place, index))
            if best is None or (votes[answer], -first[answer][0]) > (votes[best], -first[best][0]):
                best = answer
        yield None if best is None else first[best][1]


def compression_ratio(new: Sequence[float], base: Sequence[float]) -> float:
    """Return mean(new) / mean(base), the ratio of means: how the bill changes."""
    return math.fsum(new) * len(base) / (math.fsum(base) * len(new))


def mean_of_ratios(new: Sequence[float], base: Sequence[float]) -> float:
    """Return the mean of each question's ratio: every question counts alike, however long."""
    return math.fsum(a / b for a, b in zip(new, base, strict=True)) / len(new)


def geometric_ratio(new: Sequence[float], base: Sequence[float]) -> float:
    """Return the geometric mean of each question's ratio."""
    return math.exp(math.fsum(math.log(a / b) for a, b in zip(new, base, strict=True)) / len(new))


def token_saving(new: Sequence[float], base: Sequence[float]) -> float:
    """Return 1 - ratio of means."""
    return 1 - compression_ratio(new, base)


def tokens_per_correct(tokens: float, correct: float) -> float | None:
    """Return what one right answer costs, from two sums or two means; None where nothing is right."""
    return tokens / correct if correct else None


def aes(point: Point, base: Point, *, alpha: float = 1.0, beta: float = 3.0, gamma: float = 5.0) -> float | None:
    """Return the accuracy-efficiency score of O1-Pruner (2501.12570); None where the baseline is zero.

    Both changes are relative to the baseline. Papers use other weights: print them with the score.
    """
    if base.tokens <= 0 or base.accuracy <= 0:
        return None
    shorter = (base.tokens - point.tokens) / base.tokens
    better = (point.accuracy - base.accuracy) / base.accuracy
    return alpha * shorter + (beta if better >= 0 else gamma) * better


def outcome_efficiency(rounds: Sequence[float], correct: Sequence[bool]) -> float:
    """Return the share of tokens up to and including the first right round; 0 if none is right (2412.21187).

    Over the paragraphs of a thought this is also the token efficiency of THINK-Bench, in its inclusive form.
    """
    for last, right in enumerate(correct):
        if right:
            return math.fsum(rounds[: last + 1]) / math.fsum(rounds)
    return 0.0


def process_efficiency(rounds: Sequence[float], clusters: Sequence[int]) -> float:
    """Return the share of tokens in rounds whose approach is new; says nothing on success (2412.21187)."""
    new = [tokens for i, tokens in enumerate(rounds) if clusters[i] not in clusters[:i]]
    return math.fsum(new) / math.fsum(rounds)


def underthinking(tokens: Sequence[float], first_right: Sequence[float | None]) -> float | None:
    """Return the mean share of tokens after the first right thought, over wrong replies (2501.18585).

    `first_right` holds the tokens to the end of that thought, None where there was none. None without wrong replies.
    """
    waste = [0.0 if until is None else 1 - until / total for total, until in zip(tokens, first_right, strict=True)]
    return math.fsum(waste) / len(waste) if waste else None


def frontier(points: Sequence[Point]) -> list[int]:
    """Return the positions of points that no other dominates, by growing tokens.

    A point is dominated where another has no more tokens and no less accuracy, and one of the two strictly.
    """
    found: list[int] = []
    for i in sorted(range(len(points)), key=lambda i: (points[i].tokens, -points[i].accuracy)):
        equal = bool(found) and points[found[-1]] == points[i]
        if not found or points[i].accuracy > points[found[-1]].accuracy or equal:
            found.append(i)
    return found


def hypervolume(points: Sequence[Point], most_tokens: float) -> float:
    """Return the area under the frontier's steps from its first point to `most_tokens`, which must be stated.

    Divide by `most_tokens` for a value in 0 to 1. Points at or beyond the reference add nothing.
    """
    inside = [point for point in points if point.tokens < most_tokens]
    steps = [inside[i] for i in frontier(inside)]
    ends = [*(point.tokens for point in steps[1:]), most_tokens]
    return math.fsum((end - point.tokens) * point.accuracy for point, end in zip(steps, ends, strict=False))


def mixture_line(tokens: ArrayLike, first: tuple[ArrayLike, ArrayLike], second: tuple[ArrayLike, ArrayLike]) -> Floats:
    """Return the accuracy that chance alone reaches at `tokens`: each question goes to one of two constant methods.

    `first` and `second` are (tokens, accuracy) of the constants, as numbers or as arrays of bootstrap replicates.
    Between the two this is the straight line, except that nobody has to spend more to get less, so it never falls.
    To the left, questions stay unanswered (no tokens, none right): it goes on to the origin. To the right it is flat.
    """
    import numpy as np

    t1, a1, t2, a2 = (np.asarray(value, dtype=np.float64) for value in (*first, *second))
    spent = np.asarray(tokens, dtype=np.float64)
    cheap_t, dear_t = np.minimum(t1, t2), np.maximum(t1, t2)
    cheap_a = np.where(t1 == t2, np.maximum(a1, a2), np.where(t1 < t2, a1, a2))
    dear_a = np.maximum(cheap_a, np.where(t1 < t2, a2, a1))
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(dear_t > cheap_t, np.clip((spent - cheap_t) / (dear_t - cheap_t), 0, 1), 0.0)
        answered = np.where(spent < cheap_t, spent / cheap_t, 1.0)
    line: Floats = np.where(spent < cheap_t, answered * cheap_a, cheap_a + share * (dear_a - cheap_a))
    return line


class Elasticity(NamedTuple):
    """How tokens answer to a shrinking budget: the budget with the fewest tokens, and the slope of each step.

    A slope is the change of ln(tokens) over that of ln(budget): positive obeys, negative rebounds.
    """

    best_budget: float
    fewest_tokens: float
    slopes: tuple[float, ...]


def token_elasticity(budgets: Sequence[float], tokens: Sequence[float]) -> Elasticity:
    """Return the elasticity over budgets in falling order (TALE, 2412.18547); ties go to the larger budget."""
    best = min(range(len(tokens)), key=tokens.__getitem__)
    steps = zip(pairwise(budgets), pairwise(tokens), strict=True)
    slopes = tuple(math.log(t2 / t1) / math.log(b2 / b1) for (b1, b2), (t1, t2) in steps)
    return Elasticity(budgets[best], tokens[best], slopes)


def budget_search(tokens: int, attempt: Callable[[int], tuple[int, bool]]) -> int:
    """Return the ideal budget of a question whose plain reply took `tokens` (TALE, 2412.18547).

    `attempt` answers with a budget and says what that took and whether it was right. The budget is halved while the
    answer stays right and takes strictly fewer tokens than before.
    """
    budget = tokens
    while budget > 1:
        took, right = attempt(budget // 2)
        if not right or took >= tokens:
            break
        budget, tokens = budget // 2, took
    return budget


def token_complexity(lengths: Sequence[float], correct: Sequence[bool]) -> tuple[float, float]:
    """Return (tau, agreement) of one question: the length from which on replies are right (2503.01141).

    tau maximises the share of replies that are right exactly if their length is at least tau. Ties go to the smallest
    length; infinity ("always wrong") wins only if it is strictly better.
    """
    best, most = math.inf, -1
    for threshold in [*sorted(set(lengths)), math.inf]:
        agree = sum((length >= threshold) == right for length, right in zip(lengths, correct, strict=True))
        if agree > most:
            best, most = threshold, agree
    return best, most / len(lengths)


def accuracy_bound(complexities: Sequence[float], mean_tokens: float, *, as_released: bool = False) -> float:
    """Return the best accuracy at this mean budget: the purse pays the questions with the least tau first.

    The paper's code also charges the least tau of all for each question that stays unanswered (`as_released`).
    """
    # A hair more, so that what `fewest_tokens` says is enough is enough, however its mean was rounded.
    n, purse = len(complexities), mean_tokens * len(complexities) * (1 + 1e-12)
    solvable = sorted(tau for tau in complexities if tau < math.inf)
    rest = solvable[0] if solvable and as_released else 0.0
    return sum(total + rest * (n - i) <= purse for i, total in enumerate(accumulate(solvable), 1)) / n


def fewest_tokens(complexities: Sequence[float], target: float) -> float:
    """Return the least mean tokens, over all questions, that reach accuracy `target`; infinity if nothing does."""
    n = len(complexities)
    # A hair below, so that a target written as a float does not ask for one question more.
    return math.fsum(sorted(complexities)[: math.ceil(target * n - 1e-9)]) / n


def hard_accuracy(correct: Sequence[bool], lengths: Sequence[float], limit: float) -> float:
    """Return HCA: the share of replies that are right and within `limit` (2407.19825)."""
    right = [c and length <= limit for c, length in zip(correct, lengths, strict=True)]
    return sum(right) / len(right)


def soft_accuracy(correct: Sequence[bool], lengths: Sequence[float], limit: float, alpha: float = 10.0) -> float:
    """Return SCA: a right reply beyond `limit` counts exp((limit - length) / alpha) (2407.19825)."""
    pairs = zip(correct, lengths, strict=True)
    return math.fsum(math.exp(min(0.0, (limit - length) / alpha)) for c, length in pairs if c) / len(lengths)


def consistent_accuracy(
    correct: Sequence[bool], lengths: Sequence[float], limit: float, alpha: float = 10.0, beta: float = 20.0
) -> float:
    """Return CCA: SCA, lowered where the lengths spread more than `beta` (population deviation; 2407.19825)."""
    mean = math.fsum(lengths) / len(lengths)
    spread = math.sqrt(math.fsum((length - mean) ** 2 for length in lengths) / len(lengths))
    return soft_accuracy(correct, lengths, limit, alpha) * min(1.0, math.exp((beta - spread) / beta))


def scaling(points: Sequence[Point]) -> float | None:
    """Return s1's Scaling: the mean slope over all pairs of points, accuracy a token (2501.19393)."""
    slopes = [(b.accuracy - a.accuracy) / (b.tokens - a.tokens) for a in points for b in points if a.tokens < b.tokens]
    return math.fsum(slopes) / len(slopes) if slopes else None


def control(tokens: Sequence[float], most: float, least: float = 0) -> float:
    """Return s1's Control: the share of runs with `least` <= tokens <= `most` (2501.19393)."""
    return sum(least <= used <= most for used in tokens) / len(tokens)


def _check_draw(n: int, k: int) -> None:
    if not 1 <= k <= n:
        raise DataError(f"k = {k} of {n} samples cannot be drawn; k must be 1 to {n}")
