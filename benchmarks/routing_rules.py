"""What cascades and routes make of recorded answers, chosen on one half of the questions and measured on the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import inf

import numpy as np
import numpy.typing as npt

from ponder.bench.stats import percentile_interval, resampled_means, wilson
from ponder.steer.calibration import Calibration, auc
from ponder.steer.transfer import Answered
from ponder.train.words import Labelled, fit, shares

Floats = npt.NDArray[np.float64]
SHARES = tuple(round(0.05 * step, 2) for step in range(21))
"""Of questions sent on: the thresholds that are tried."""
REPLICATES = 2000
CASCADES = (("small-short", "small-long"), ("small-long", "large-long"), ("small-short", "large-long"))
ROUTES = (("small-short", "small-long"), ("large-short", "large-long"), ("small-long", "large-long"))
EPSILON, DELTA, SHARE, DRAWN = 0.05, 0.1, 0.3, 200


@dataclass(frozen=True)
class Scored:
    """A way to answer: right or not, what it costs, and how certain it is, question by question."""

    right: Sequence[float]
    cost: Sequence[float]
    score: Sequence[float] = ()


@dataclass(frozen=True)
class Answers:
    """All that was recorded: questions and tasks in order, the ways to answer, and each way under each scorer."""

    questions: Sequence[str]
    tasks: Sequence[str]
    sides: Mapping[str, Scored]
    scores: Mapping[str, Mapping[str, Scored]]

    @property
    def half(self) -> npt.NDArray[np.int64]:
        """Which half each question is in: every second one."""
        return np.arange(len(self.questions)) % 2


@dataclass(frozen=True)
class Rule:
    """A family of decisions: `sent` goes to the dearer way wherever `score` is below a threshold.

    `kept` is the cost of a question that stays, `gone` of one that does not.
    """

    label: str
    score: Floats
    stays: Floats
    goes: Floats
    kept: Floats
    gone: Floats
    auc: float | None = None

    def at(self, threshold: float) -> tuple[Floats, Floats, Floats]:
        """Return what is right, what it costs, and what is sent on, question by question."""
        sent = self.score < threshold
        return np.where(sent, self.goes, self.stays), np.where(sent, self.gone, self.kept), sent.astype(float)


@dataclass(frozen=True)
class Measured:
    """A rule, its threshold chosen on the other half, over all questions."""

    rule: Rule
    right: Floats
    cost: Floats
    sent: Floats
    gain: float = field(default=0.0)
    interval: tuple[float, float] = (0.0, 0.0)


def hull(cost: Floats, means: Sequence[tuple[Floats, Floats]]) -> Floats:
    """Return the accuracy of the best mixture by chance of constant ways, of which `means` are (cost, accuracy).

    Nobody has to spend more to get less; below the cheapest way, questions stay unanswered.
    """
    best = np.zeros_like(cost)
    for spent, accuracy in means:
        best = np.maximum(best, accuracy * np.minimum(1.0, cost / spent))
    for low, below in means:
        for high, above in means:
            between = (low <= cost) & (cost <= high) & (high > low)
            share = np.where(between, (cost - low) / np.where(high > low, high - low, 1.0), 0.0)
            best = np.maximum(best, np.where(between, below + share * (above - below), 0.0))
    return best


def rules(answers: Answers) -> Iterator[Rule]:
    """Yield every cascade and every route, with its controls."""
    sides = {
        name: tuple(np.array(part, float) for part in (one.right, one.cost)) for name, one in answers.sides.items()
    }
    for weak, strong in CASCADES:
        found = dict(answers.scores[weak])
        found["oracle"] = Scored(answers.sides[weak].right, answers.sides[weak].cost, answers.sides[weak].right)
        for name, one in found.items():
            right, cost, score = (np.array(part, float) for part in (one.right, one.cost, one.score))
            label = f"cascade {weak} → {strong}, {name}"
            useful = auc(score.tolist(), right.astype(int).tolist())
            goes, gone = sides[strong]
            yield Rule(label, score, right, goes, cost, cost + gone, useful)
    for weak, strong in ROUTES:
        (stays, kept), (goes, gone) = sides[weak], sides[strong]
        dice = np.random.default_rng(0).random(len(stays))
        for name, gain in {
            "words": routed(answers, weak, strong),
            "task": by_task(answers, weak, strong),
            "random": dice,
            "oracle": goes - stays,
        }.items():
            yield Rule(f"route {weak} or {strong}, {name}", -gain, stays, goes, kept, gone)


def routed(answers: Answers, weak: str, strong: str) -> Floats:
    """Return how much better a router expects the strong way to do, for each half from training on the other."""
    wanted = zip(answers.sides[weak].right, answers.sides[strong].right, strict=True)
    rows = [Labelled(text, pair, "") for text, pair in zip(answers.questions, wanted, strict=True)]
    gains = np.zeros(len(rows))
    for half in (0, 1):
        here = np.flatnonzero(answers.half == half)
        train = [rows[place] for place in np.flatnonzero(answers.half != half)]
        weights = fit(train, ("weak", "strong"), "sigmoid", decay=1e-4)
        rated = shares(weights, [rows[place] for place in here], "sigmoid")
        gains[here] = rated[:, 1] - rated[:, 0]
    return gains


def by_task(answers: Answers, weak: str, strong: str) -> Floats:
    """Return how much better the strong way did in the other half of a question's task: a router that knows no more."""
    gain = np.array(answers.sides[strong].right, float) - np.array(answers.sides[weak].right, float)
    tasks = np.array(answers.tasks)
    return np.array(
        [gain[(tasks == task) & (answers.half != half)].mean() for task, half in zip(tasks, answers.half, strict=True)]
    )


def measure(answers: Answers, rule: Rule) -> Measured:
    """Choose the threshold that gains most over the best mixture on one half, and take it on the other."""
    right, cost, sent = (np.zeros(len(answers.questions)) for _ in range(3))
    for half in (0, 1):
        here, there = answers.half == half, answers.half != half
        best = max(_thresholds(rule.score[there]), key=lambda threshold: _gain(answers, rule, threshold, there))
        for into, found in zip((right, cost, sent), rule.at(best), strict=True):
            into[here] = found[here]
    columns = [right, cost]
    for side in answers.sides.values():
        columns += [np.array(side.cost, float), np.array(side.right, float)]
    means = resampled_means(columns, REPLICATES)
    gains = means[:, 0] - hull(means[:, 1], [(means[:, i], means[:, i + 1]) for i in range(2, means.shape[1], 2)])
    whole = [np.array([column.mean()]) for column in columns]
    level = hull(whole[1], [(whole[i], whole[i + 1]) for i in range(2, len(whole), 2)])
    low, high = percentile_interval(gains)
    return Measured(rule, right, cost, sent, float(whole[0][0] - level[0]), (low, high))


def _thresholds(scores: Floats) -> list[float]:
    found = Calibration(tuple(scores.tolist()), (0,) * len(scores))
    return sorted({found.threshold(share) for share in SHARES})


def _gain(answers: Answers, rule: Rule, threshold: float, where: npt.NDArray[np.bool_]) -> float:
    right, cost, _ = (part[where].mean() for part in rule.at(threshold))
    sides = [
        (np.array([np.array(side.cost)[where].mean()]), np.array([np.array(side.right)[where].mean()]))
        for side in answers.sides.values()
    ]
    return float(right - hull(np.array([cost]), sides)[0])


def page_part(answers: Answers) -> str:
    """Return the tables of one pair of models."""
    lines = [f"{len(answers.questions):,} questions of {len(set(answers.tasks))} tasks.", ""]
    lines += ["| constant way | accuracy, 95 % | cost |", "|---|---:|---:|"]
    lines += [f"| {name} | {_share(one.right)} | {np.mean(one.cost):.1f} |" for name, one in answers.sides.items()]
    lines += ["", "| rule | accuracy, 95 % | cost | sent on | AUC | above the best mixture, points, 95 % |"]
    lines += ["|---|---:|---:|---:|---:|---:|"]
    lines += [_line(measure(answers, rule)) for rule in rules(answers)]
    return "\n".join([*lines, "", *transfer(answers), "", certified(answers)]) + "\n"


def _line(found: Measured) -> str:
    low, high = found.interval
    useful = "–" if found.rule.auc is None else f"{found.rule.auc:.3f}"
    gain = f"{100 * found.gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}]"
    sent = f"{100 * found.sent.mean():.0f} %"
    return f"| {found.rule.label} | {_share(found.right)} | {found.cost.mean():.1f} | {sent} | {useful} | {gain} |"


def _share(right: Sequence[float] | Floats) -> str:
    low, high = wilson(int(np.sum(right)), len(right))
    return f"{100 * np.mean(right):.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def transfer(answers: Answers) -> list[str]:
    """Return what a calibration on all other tasks says of a task, and what is true of it."""
    weak, strong = CASCADES[1]
    one, other = answers.scores[weak]["mean_logprob"], answers.sides[strong]
    rights = (tuple(map(int, way.right)) for way in (one, other))
    answered = Answered(tuple(answers.tasks), tuple(one.score), *rights)
    lines = [
        "| task | wanted share | share sent on | accuracy foretold | accuracy | AUC |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for found in answered.transfers(SHARE, DRAWN):
        cells = " | ".join(f"{100 * part:.1f} %" for part in (found.foretold, found.accuracy))
        shares = f"{100 * SHARE:.0f} % | {100 * found.share:.0f} %"
        lines.append(f"| {found.task} | {shares} | {cells} | {found.auc:.3f} |")
    return lines


def certified(answers: Answers) -> str:
    """Return what the guarantee gives on one half, and how many are harmed on the other."""
    weak, strong = CASCADES[1]
    one, other = answers.scores[weak]["mean_logprob"], answers.sides[strong]
    first, second = (np.flatnonzero(answers.half == half).tolist() for half in (0, 1))
    found = _calibration(one, other, first).certified(EPSILON, DELTA)
    held = _calibration(one, other, second)
    kept = [score >= found.threshold for score in held.scores]
    harms = sum(b == 1 and a == 0 and stays for a, b, stays in zip(held.weak, held.strong, kept, strict=True))
    low, high = wilson(harms, len(second))
    threshold = "none" if found.threshold == inf else f"{found.threshold:.4f}"
    return (
        f"Certified for `{weak} → {strong}` by the mean log-probability, at most {100 * EPSILON:.0f} % harmed with "
        f"confidence {100 * (1 - DELTA):.0f} %, on {len(first)} questions: threshold {threshold}, "
        f"{100 * found.share:.0f} % sent on, {found.harms} harmed, p = {found.p:.3f}. On the other {len(second)}: "
        f"{100 * (1 - np.mean(kept)):.0f} % sent on, {100 * harms / len(second):.1f} % "
        f"[{100 * low:.1f}, {100 * high:.1f}] harmed."
    )


def _calibration(one: Scored, other: Scored, places: Sequence[int]) -> Calibration:
    return Calibration(
        tuple(one.score[place] for place in places),
        tuple(int(one.right[place]) for place in places),
        tuple(int(other.right[place]) for place in places),
    )
