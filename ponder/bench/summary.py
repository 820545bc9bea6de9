"""From single attempts to one row a method: means over questions, and every comparison on the same questions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from ponder.bench import metrics, stats
from ponder.bench.arms import Arm, Attempt, Columns, Paired
from ponder.bench.prices import Price
from ponder.bench.stats import Interval
from ponder.core.config import Value
from ponder.core.errors import OptionError, nearest
from ponder.core.run import ROLES

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Mask = NDArray[np.bool_]

__all__ = ["Arm", "Attempt", "Json", "Latency", "Row", "summarize"]

Json = str | int | float | bool | None | list["Json"] | dict[str, "Json"]


class Latency(NamedTuple):
    """Seconds over attempts: the median to the first token, and the median and 95th percentile to the end."""

    first_token: float | None
    p50: float | None
    p95: float | None


@dataclass(frozen=True, slots=True)
class Row:
    """One method's line in a result table; docs/json.md lists its fields, docs/statistics.md says how they come about.

    Unless a name says otherwise, values are means over questions of each question's mean over its samples. Fields from
    `baseline` on compare with the baseline on the `paired` questions that both arms answered and that can be judged.
    None stands for what the data cannot tell.
    """

    label: str
    method: str
    options: Mapping[str, Value]
    model: str
    task: str
    seed: int
    questions: int
    accuracy: float | None
    accuracy_interval: Interval | None
    tokens: float
    tokens_interval: Interval
    tokens_by_role: Mapping[str, float]
    prompt_tokens: float
    cost: float | None
    latency: Latency
    truncated: int
    unverifiable: int
    baseline: str
    saving: float | None = None
    saving_interval: Interval | None = None
    accuracy_change: float | None = None
    accuracy_change_interval: Interval | None = None
    pass_at: Mapping[str, float] = field(default_factory=dict)
    seeds: int = 1
    attempts: int = 0
    exact: bool = True
    tokens_median: float = 0.0
    tokens_p95: float = 0.0
    tokens_right: float | None = None
    tokens_wrong: float | None = None
    tokens_per_correct: float | None = None
    outcome_efficiency: float | None = None
    compression_ratio: float | None = None
    currency: str | None = None
    paired: int = 0
    margin: float = 0.05
    non_inferior: bool | None = None
    questions_needed: int | None = None
    only_baseline_right: int | None = None
    only_this_right: int | None = None
    mcnemar: float | None = None
    mcnemar_holm: float | None = None
    aes: float | None = None
    mixture: tuple[str, str] | None = None
    mixture_gain: float | None = None
    mixture_interval: Interval | None = None
    beats_mixture: bool | None = None

    def to_json(self) -> dict[str, Json]:
        """Return the row as JSON values: intervals as [low, high], unknowns as null."""
        return {name: _json(value) for name, value in asdict(self).items()}


def summarize(
    arms: Mapping[str, Arm],
    baseline: str,
    *,
    margin: float = 0.05,
    price: Price | None = None,
    constants: tuple[str, str] | None = ("sample", "no_thinking"),
    seed: int = 0,
) -> list[Row]:
    """Return one row for each arm, in order. All arms belong to one task; `seed` is the bootstrap's.

    `constants` are the labels of the two constant methods whose mixture is the control; where one is absent, nothing
    is said about it. Raises `OptionError` for a baseline that is not among the arms or has no attempt.
    """
    if baseline not in arms or not len(arms[baseline]):
        listed = ", ".join(label for label, arm in arms.items() if len(arm)) or "none"
        raise OptionError(
            f"the baseline {baseline!r} has no results{nearest(baseline, arms)}; methods that have: {listed}"
        )
    paired = Paired({label: arm for label, arm in arms.items() if len(arm)}, seed)
    line = constants if constants and set(constants) <= set(paired.tokens) else None
    rows = []
    for label in paired.tokens:
        row = _alone(paired, label, arms[label], baseline, price)
        row = _against(paired, row, margin)
        rows.append(_against_mixture(paired, row, line) if line and label not in line else row)
    return _corrected(rows)


def _alone(paired: Paired, label: str, arm: Arm, baseline: str, price: Price | None) -> Row:
    """Say what one arm shows by itself."""
    import numpy as np

    columns, judged, answered = paired.columns[label], paired.judged(label), paired.answered(label)
    n = len(arm.questions)

    def mean(values: Floats) -> float:
        return float(stats.question_means(columns.question, values, n).mean())

    correct = paired.correct[label][judged]
    accuracy = float(correct.mean()) if len(correct) else None
    tokens, prompt = mean(columns.tokens), mean(columns.prompt_tokens)
    roles: dict[str, float] = {role: mean(columns.roles[:, i]) for i, role in enumerate(ROLES)}
    right, wrong = columns.tokens[columns.correct == 1], columns.tokens[columns.correct == 0]
    return Row(
        label=label,
        method=arm.method,
        options=arm.options,
        model=arm.model,
        task=arm.task,
        seed=min(arm.seeds),
        questions=n,
        accuracy=accuracy,
        accuracy_interval=_accuracy_interval(paired, label) if len(correct) else None,
        tokens=tokens,
        tokens_interval=stats.percentile_interval(paired.resampled(answered)[label][0]),
        tokens_by_role={role: share for role, share in roles.items() if share},
        prompt_tokens=prompt,
        cost=price.cost(prompt, mean(columns.cached_tokens), tokens) if price else None,
        currency=price.currency if price else None,
        latency=_latency(columns),
        truncated=int(columns.truncated.sum()),
        unverifiable=int(np.isnan(columns.correct).sum()),
        baseline=baseline,
        pass_at=_pass_at(columns),
        seeds=len(arm.seeds),
        attempts=len(arm),
        exact=bool(columns.exact.all()),
        tokens_median=float(np.median(columns.tokens)),
        tokens_p95=float(np.percentile(columns.tokens, 95)),
        tokens_right=float(right.mean()) if len(right) else None,
        tokens_wrong=float(wrong.mean()) if len(wrong) else None,
        tokens_per_correct=metrics.tokens_per_correct(*paired.point(label, judged)) if len(correct) else None,
    )


def _against(paired: Paired, row: Row, margin: float) -> Row:
    """Add the comparison with the baseline, on the questions that both can be judged on.

    Where no question can be judged at all, tokens are still compared, on the questions that both answered.
    """
    pair = (row.label, row.baseline)
    judged = paired.judged(*pair)
    mask = judged if judged.any() else paired.answered(*pair)
    if not mask.any():
        return replace(row, margin=margin)
    means = paired.resampled(mask)
    (tokens, right), (base_tokens, base_right) = means[row.label], means[row.baseline]
    new, base = paired.point(row.label, mask), paired.point(row.baseline, mask)
    row = replace(row, margin=margin, paired=int(mask.sum()))
    if base.tokens > 0:
        low, high = stats.percentile_interval(1 - stats.safe_ratio(tokens, base_tokens))
        ratio = new.tokens / base.tokens
        row = replace(row, saving=1 - ratio, saving_interval=Interval(low, high), compression_ratio=ratio)
    if not judged.any():
        return row
    row = replace(
        row,
        accuracy_change=new.accuracy - base.accuracy,
        accuracy_change_interval=stats.percentile_interval(right - base_right),
        aes=metrics.aes(new, base),
    )
    return row if row.label == row.baseline else _equally_good(paired, row, mask)


def _equally_good(paired: Paired, row: Row, mask: Mask) -> Row:
    """Add McNemar's test where there is one sample a question, and the verdict on non-inferiority.

    The bootstrap alone cannot imagine a loss that few questions did not show, so the claim must also hold for an
    interval that has a width without any difference seen.
    """
    new, base = paired.correct[row.label][mask], paired.correct[row.baseline][mask]
    n, change = len(new), row.accuracy_change_interval
    if change is None:
        return row
    losses, gains = int((new < base).sum()), int((new > base).sum())
    if paired.once[row.label] and paired.once[row.baseline]:
        both = int((new * base).sum())
        cautious = stats.paired_score_interval(both, gains, losses, n - both - gains - losses)
        row = replace(
            row,
            only_baseline_right=losses,
            only_this_right=gains,
            mcnemar=stats.mcnemar(losses, gains).exact,
        )
    else:
        cautious = change if losses else Interval(-stats.wilson(0, n).high, change.high)
    fine = stats.non_inferior(change, row.margin) and stats.non_inferior(cautious, row.margin)
    spread = float(((new - base) ** 2).mean())
    needed = None if fine or not 0 < row.margin < 1 else stats.questions_for_margin(row.margin, spread)
    return replace(row, non_inferior=fine, questions_needed=needed)


def _against_mixture(paired: Paired, row: Row, line: tuple[str, str]) -> Row:
    """Add how far a method lies above what mixing the two constants by chance reaches at its tokens."""
    mask = paired.judged(row.label, *line)
    if not mask.any():
        return row
    means = paired.resampled(mask)
    tokens, right = means[row.label]
    gains = right - metrics.mixture_line(tokens, means[line[0]], means[line[1]])
    point = paired.point(row.label, mask)
    level = metrics.mixture_line(point.tokens, paired.point(line[0], mask), paired.point(line[1], mask))
    interval = stats.percentile_interval(gains)
    return replace(
        row,
        mixture=line,
        mixture_gain=point.accuracy - float(level),
        mixture_interval=interval,
        beats_mixture=interval.low > 0,
    )


def _corrected(rows: Sequence[Row]) -> list[Row]:
    """Add McNemar's p-values corrected for the number of methods (Holm)."""
    tested = [(i, row.mcnemar) for i, row in enumerate(rows) if row.mcnemar is not None]
    adjusted = stats.holm([p for _, p in tested])
    corrected = {i: p for (i, _), p in zip(tested, adjusted, strict=True)}
    return [replace(row, mcnemar_holm=corrected.get(i)) for i, row in enumerate(rows)]


def _accuracy_interval(paired: Paired, label: str) -> Interval:
    """Wilson's interval for one sample a question; several are not independent, so questions are resampled."""
    mask = paired.judged(label)
    if paired.once[label]:
        correct = paired.correct[label][mask]
        return stats.wilson(int(correct.sum()), len(correct))
    return stats.percentile_interval(paired.resampled(mask)[label][1])


def _pass_at(columns: Columns) -> dict[str, float]:
    """Return pass@k for powers of two, and for all samples that every judged question has."""
    import numpy as np

    judged = ~np.isnan(columns.correct)
    samples = np.bincount(columns.question[judged])
    right = np.bincount(columns.question[judged], weights=columns.correct[judged])
    pairs = [(int(m), int(c)) for m, c in zip(samples, right, strict=True) if m]
    if not pairs:
        return {}
    fewest = min(m for m, _ in pairs)
    ks = sorted({*(1 << i for i in range(fewest.bit_length())), fewest})
    # Few pairs are different, however many questions there are.
    kinds, counts = np.unique(np.array(pairs), axis=0, return_counts=True)
    return {
        str(k): sum(
            metrics.pass_at_k(int(m), int(c), k) * int(count) for (m, c), count in zip(kinds, counts, strict=True)
        )
        / len(pairs)
        for k in ks
    }


def _latency(columns: Columns) -> Latency:
    import numpy as np

    first = columns.first_token_seconds[~np.isnan(columns.first_token_seconds)]
    timed = columns.seconds[columns.seconds > 0]
    p50, p95 = np.percentile(timed, [50, 95]).tolist() if len(timed) else (None, None)
    return Latency(float(np.median(first)) if len(first) else None, p50, p95)


def _json(value: object) -> Json:
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, Latency):
        return {"first_token": value.first_token, "p50": value.p50, "p95": value.p95}
    if isinstance(value, Mapping):
        return {str(key): _json(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_json(item) for item in value]
    raise TypeError(f"{value!r} has no JSON form")
