"""How accuracy grows with the number of samples: pass@k, majority, best of k and weighted vote of recorded replies."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ponder.bench import metrics
from ponder.bench.graded import GradedProblem
from ponder.bench.stats import Interval, percentile_interval, resampled_means
from ponder.text.votes import classes, exp_weights

if TYPE_CHECKING:
    from rich.table import Table

HEADS = {"pass": "pass@k", "majority": "maj@k", "best": "best@k", "weighted": "weighted@k"}
"""What a curve holds. The last two need rewards; `weighted` weighs a vote by exp(reward)."""
DRAWS = 1000
"""Random orders in which the samples of a question are drawn for weighted votes."""


@dataclass(frozen=True, slots=True)
class Question:
    """The samples of one question: the class of equal answers that each states, whether it is right, and its score."""

    answers: tuple[int | None, ...]
    correct: tuple[bool, ...]
    scores: tuple[float, ...] = ()
    """Empty where not every sample has one."""


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The mean over questions at k samples, by the names of `HEADS`, with 95 % intervals over questions."""

    k: int
    values: Mapping[str, float]
    intervals: Mapping[str, Interval]


@dataclass(frozen=True, slots=True)
class Curve:
    """The points for k = 1 up to as many samples as every question has."""

    label: str
    questions: int
    points: tuple[CurvePoint, ...]

    def to_json(self) -> dict[str, object]:
        """Return what `ponder replay --curve --json` prints."""
        points = [
            {
                "k": point.k,
                **{name: {"value": v, "interval": point.intervals[name]} for name, v in point.values.items()},
            }
            for point in self.points
        ]
        return {"label": self.label, "questions": self.questions, "points": points}


def question_of(graded: GradedProblem) -> Question | None:
    """Return the samples of a graded problem; None where not all could be judged."""
    verdicts = [reply.correct for reply in graded.replies]
    if graded.problem.answer is None or None in verdicts:
        return None
    stated = [reply.stated for reply in graded.replies]
    groups = classes(stated, graded.same)
    where = {index: answer for answer, members in enumerate(groups) for index in members}
    rewards = [reply.sample.reward for reply in graded.replies]
    scores = tuple(reward for reward in rewards if reward is not None)
    return Question(
        tuple(where.get(index) for index in range(len(stated))),
        tuple(bool(verdict) for verdict in verdicts),
        scores if len(scores) == len(rewards) else (),
    )


def question_curve(question: Question, most: int | None = None, *, seed: int = 0) -> dict[str, list[float]]:
    """Return each estimate of one question for k = 1 to `most`, by default all its samples."""
    n = len(question.correct)
    ks = range(1, (n if most is None else most) + 1)
    right = sum(question.correct)
    curve = {
        "pass": [metrics.pass_at_k(n, right, k) for k in ks],
        "majority": [_majority(question, k) for k in ks],
    }
    if question.scores:
        weights = exp_weights(question.scores)
        curve["best"] = [metrics.bon_at_k(question.scores, question.correct, k) for k in ks]
        curve["weighted"] = metrics.weighted_at_k(
            weights, question.answers, question.correct, len(ks), draws=DRAWS, seed=seed
        )
    return curve


def _majority(question: Question, k: int) -> float:
    """Return maj@k, where several answers may be right: written in two ways, say, that a source does not compare."""
    sizes: dict[int, int] = {}
    rights: dict[int, int] = {}
    for answer, correct in zip(question.answers, question.correct, strict=True):
        if answer is not None:
            sizes[answer] = sizes.get(answer, 0) + 1
            rights[answer] = rights.get(answer, 0) + correct
    silent = question.answers.count(None)
    total = 0.0
    for answer, right in rights.items():
        if right:
            others = [size for other, size in sizes.items() if other != answer]
            total += right / sizes[answer] * metrics.maj_at_k(sizes[answer], others, k, silent=silent)
    return total


def mean_curve(questions: Sequence[Question], label: str = "", *, replicates: int = 10_000, seed: int = 0) -> Curve:
    """Return the mean over questions, with the bootstrap interval of drawing other questions.

    A curve ends where the first question has no more samples; one that a question lacks (no rewards) is left out.
    """
    if not questions:
        return Curve(label, 0, ())
    most = min(len(question.correct) for question in questions)
    found = [question_curve(question, most, seed=seed) for question in questions]
    names = [name for name in HEADS if all(name in curve for curve in found)]
    columns = [[curve[name][k] for curve in found] for k in range(most) for name in names]
    means = resampled_means(columns, replicates, seed)
    values = [sum(column) / len(column) for column in columns]
    intervals = [percentile_interval(means[:, i]) for i in range(len(columns))]
    points = []
    for k in range(most):
        at = slice(k * len(names), (k + 1) * len(names))
        points.append(
            CurvePoint(
                k + 1,
                dict(zip(names, values[at], strict=True)),
                dict(zip(names, intervals[at], strict=True)),
            )
        )
    return Curve(label, len(questions), tuple(points))


def curve_table(curve: Curve, percent: Callable[[float], str]) -> Table:
    """Return the table of a curve at the powers of two and at its end."""
    from rich.table import Table

    title = f"{curve.label}: {curve.questions:,} questions".removeprefix(": ")
    table = Table(title=title, title_justify="left", pad_edge=False, box=None, header_style="bold")
    table.add_column("k", justify="right")
    names = list(curve.points[0].values) if curve.points else []
    for name in names:
        table.add_column(HEADS[name], justify="right")
        table.add_column("95 %", justify="right")
    for point in curve.points:
        if point.k & (point.k - 1) == 0 or point.k == len(curve.points):
            cells = [str(point.k)]
            for name in names:
                low, high = point.intervals[name]
                cells += [percent(point.values[name]), f"[{100 * low:.1f}, {100 * high:.1f}]"]
            table.add_row(*cells)
    return table
