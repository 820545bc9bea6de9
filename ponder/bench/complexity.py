"""Token complexity: the fewest tokens that solve each question, and how far methods are from that (2503.01141)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ponder.bench import metrics, stats
from ponder.bench.arms import Arm
from ponder.bench.stats import Interval
from ponder.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

KIND = "token-complexity"
"""What `--report` calls it."""
REPLICATES = 2_000
_NO_RATIO = 1e18
"""Of a replicate in which nothing was right, or more than the bound reaches: it stands at the upper end."""


@dataclass(frozen=True, slots=True)
class Beside:
    """One method beside the bound; all over the questions that are shared."""

    label: str
    model: str
    tokens: float
    accuracy: float
    bound: float
    """The best accuracy at these mean tokens."""
    below: float
    """How far the accuracy lies below it."""
    below_interval: Interval
    fewest: float | None
    """The fewest mean tokens for this accuracy; None where the bound does not reach it."""
    excess: float | None
    """Tokens divided by these; None where they are none."""
    excess_interval: Interval | None
    predicted: float
    """The accuracy that the complexities give it: replies are right if they are long enough."""


@dataclass(frozen=True, slots=True)
class Complexity:
    """The token complexities of a task's questions, and the methods that they were found with."""

    task: str
    questions: Mapping[str, float | None]
    """Question id to the tokens from which on replies are right; None where no number of tokens tells."""
    tokens: float
    """The fewest mean tokens that solve all solvable questions, over all questions: the paper's theorem."""
    tokens_solvable: float
    """The same sum over the solvable questions alone: what the paper's tables show."""
    agreement: float
    """The share of replies that are right exactly if they are long enough."""
    rows: tuple[Beside, ...]

    @property
    def known(self) -> list[float]:
        """The complexities; infinity where no number of tokens tells."""
        return [math.inf if tau is None else tau for tau in self.questions.values()]

    @property
    def solvable(self) -> int:
        """How many questions some number of tokens solves."""
        return sum(tau is not None for tau in self.questions.values())

    def to_json(self) -> dict[str, object]:
        """Return it as JSON values; docs/json.md lists the fields."""
        found = asdict(self)
        return {**found, "solvable": self.solvable, "rows": [asdict(row) for row in self.rows]}


@dataclass(frozen=True, slots=True)
class _Means:
    """One method's means for each shared question, shape (questions,)."""

    tokens: Floats
    correct: Floats
    predicted: Floats


def token_complexity(arms: Mapping[str, Arm], seed: int = 0) -> Complexity:
    """Find the complexities from what all arms of one task did, and set each arm beside the bound.

    Only questions that every arm answered and that can be judged in every arm count; each attempt is one reply of the
    question, with all the tokens that were generated for it. Raises `DataError` for fewer than two arms, and where
    they share no question.
    """
    import numpy as np

    task = next((arm.task for arm in arms.values()), "")
    if len(arms) < 2:
        raise DataError(f"{task}: token complexity compares the replies of several methods; name two or more")
    replies = {label: _replies(arm) for label, arm in arms.items()}
    first, *others = replies.values()
    shared = [question for question in first if all(question in other for other in others)]
    if not shared:
        raise DataError(f"{task}: no question was answered by every method and can be judged; finish the run first")
    found = [metrics.token_complexity(*_all(replies, question)) for question in shared]
    taus = np.array([tau for tau, _ in found])
    finite = taus[np.isfinite(taus)]
    means = {label: _means(mine, shared, taus) for label, mine in replies.items()}
    return Complexity(
        task=task,
        questions={question: tau if tau < math.inf else None for question, (tau, _) in zip(shared, found, strict=True)},
        tokens=float(finite.sum()) / len(taus),
        tokens_solvable=float(finite.mean()) if len(finite) else 0.0,
        agreement=sum(agreement for _, agreement in found) / len(found),
        rows=tuple(_beside(label, arms[label].model, mine, taus, seed) for label, mine in means.items()),
    )


Replies = dict[str, tuple[list[float], list[bool]]]
"""Question id to the tokens of its replies, and whether each is right."""


def _replies(arm: Arm) -> Replies:
    columns, names = arm.columns(), list(arm.questions)
    found: Replies = {}
    for question, tokens, correct in zip(columns.question, columns.tokens, columns.correct, strict=True):
        if not math.isnan(correct):
            lengths, verdicts = found.setdefault(names[question], ([], []))
            lengths.append(float(tokens))
            verdicts.append(bool(correct))
    return found


def _all(replies: Mapping[str, Replies], question: str) -> tuple[list[float], list[bool]]:
    """Return all replies to a question, whoever gave them."""
    pairs = [mine[question] for mine in replies.values()]
    return [tokens for lengths, _ in pairs for tokens in lengths], [right for _, rights in pairs for right in rights]


def _means(mine: Replies, shared: Sequence[str], taus: Floats) -> _Means:
    import numpy as np

    tokens, correct, predicted = [], [], []
    for question, tau in zip(shared, taus, strict=True):
        lengths, verdicts = mine[question]
        tokens.append(sum(lengths) / len(lengths))
        correct.append(sum(verdicts) / len(verdicts))
        predicted.append(sum(length >= tau for length in lengths) / len(lengths))
    return _Means(np.array(tokens), np.array(correct), np.array(predicted))


def _beside(label: str, model: str, mine: _Means, taus: Floats, seed: int) -> Beside:
    known = taus.tolist()
    tokens, accuracy = float(mine.tokens.mean()), float(mine.correct.mean())
    bound = metrics.accuracy_bound(known, tokens)
    fewest = metrics.fewest_tokens(known, accuracy)
    below, excess = _resampled(mine, taus, seed)
    usable = 0 < fewest < math.inf
    ends = stats.percentile_interval(excess)
    return Beside(
        label=label,
        model=model,
        tokens=tokens,
        accuracy=accuracy,
        bound=bound,
        below=bound - accuracy,
        below_interval=stats.percentile_interval(below),
        fewest=fewest if fewest < math.inf else None,
        excess=tokens / fewest if usable else None,
        excess_interval=ends if usable and ends.high < _NO_RATIO / 2 else None,
        predicted=float(mine.predicted.mean()),
    )


def _resampled(mine: _Means, taus: Floats, seed: int) -> tuple[Floats, Floats]:
    """Return bootstrap replicates of how far a method is below the bound, and of its tokens over the fewest."""
    import numpy as np

    n = len(taus)
    below, excess = [], []
    for drawn in stats.resampled_indices(n, REPLICATES, seed):
        spent = np.cumsum(np.sort(taus[drawn], axis=1), axis=1)
        tokens, accuracy = mine.tokens[drawn].mean(axis=1), mine.correct[drawn].mean(axis=1)
        # The hairs are those of `accuracy_bound` and `fewest_tokens`.
        bound = (spent <= (tokens * n * (1 + 1e-12))[:, None]).sum(axis=1) / n
        needed = np.ceil(accuracy * n - 1e-9).astype(np.int64)
        fewest = np.where(needed > 0, spent[np.arange(len(spent)), np.maximum(needed, 1) - 1], 0.0) / n
        below.append(bound - accuracy)
        whole = (fewest > 0) & np.isfinite(fewest)
        excess.append(np.where(whole, tokens / np.where(whole, fewest, 1.0), _NO_RATIO))
    return np.concatenate(below), np.concatenate(excess)
