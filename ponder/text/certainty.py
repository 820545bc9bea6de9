"""How sure a model seems of its answer: by agreement of answers that it was asked for, or by its tokens' probability.

Agreement and certaindex are those of 2412.20993, the confidence of a trial answer is that of 2504.15895.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import Literal

from ponder.text.votes import classes

Mean = Literal["geometric", "arithmetic"]
Same = Callable[[str, str], bool]

HESITATION = (
    *("wait", "hold", "but", "okay", "no", "hmm"),
    *("等等", "等一下", "稍等", "但是", "不过", "不对", "好吧", "嗯"),
)
"""2412.20993's words that make a side answer doubtful, and the same in Chinese, which is ours."""

_BRACE = re.compile(r"(?<!\\)[{}]")
_LATIN = re.compile(r"[A-Za-z]")


def until_brace(text: str) -> str | None:
    r"""Return what stands before the first unmatched `}` of a text that goes on in `\boxed{`, or None without one."""
    end = brace_end(text)
    return None if end is None else text[: end - 1].strip()


def brace_end(text: str) -> int | None:
    r"""Return the place behind the first unmatched `}`, or None if there is none; `\{` and `\}` are no braces."""
    depth = 0
    for brace in _BRACE.finditer(text):
        depth += 1 if brace[0] == "{" else -1
        if depth < 0:
            return brace.end()
    return None


def says(text: str, words: Sequence[str]) -> bool:
    """Say whether any of the words stands in a text, in whatever case.

    Words in Latin letters count as whole words: `no` is in none of `know`, `denominator` and `another`. In Chinese,
    which puts no blanks between words, they count wherever they stand.
    """
    return any(re.search(whole(word), text, re.IGNORECASE) for word in words)


def whole(word: str) -> str:
    """Return the pattern of a word that begins and ends where words do, where its ends are Latin letters."""
    head = r"(?<![A-Za-z])" if _LATIN.match(word) else ""
    tail = r"(?![A-Za-z])" if _LATIN.match(word[-1:]) else ""
    return head + re.escape(word) + tail


def agreement(answers: Sequence[str], width: int, same: Same) -> float:
    """Return which share of the last `width` answers equals the last one.

    An empty answer equals none, itself included, and so does one that is not there yet.
    """
    last = answers[-1] if answers else ""
    if not last:
        return 0.0
    window = answers[-width:]
    return sum(bool(answer) and (answer == last or same(answer, last)) for answer in window) / width


def certaindex(answers: Sequence[str | None], same: Same) -> float:
    """Return (ln n - H) / ln n, where H is the entropy of the classes of equal answers.

    It is 1 where they are unanimous, and 0 where all are different. An answer that states nothing (None) is a class of
    its own. For fewer than two answers, which are no evidence, it is 0.
    """
    n = len(answers)
    if n < 2:
        return 0.0
    sizes = [len(members) for members in classes(answers, same)]
    sizes += [1] * (n - sum(sizes))
    entropy = -sum(size / n * math.log(size / n) for size in sizes)
    return max(0.0, (math.log(n) - entropy) / math.log(n))


def passes(signals: Sequence[tuple[float, float]]) -> bool:
    """Say whether each signal reaches its threshold: certaindex, mean or highest reward. Without signals none does."""
    return bool(signals) and all(value >= threshold for value, threshold in signals)


def mean_reward(rewards: Sequence[float]) -> float:
    """Return the progress of a tree search: the mean of its terminal rewards, 0 without one."""
    return math.fsum(rewards) / len(rewards) if rewards else 0.0


def max_reward(rewards: Sequence[float]) -> float:
    """Return the progress of a search by balanced rewards: the highest, 0 without one."""
    return max(rewards, default=0.0)


def confidence(probabilities: Sequence[float], mean: Mean = "geometric", skip_first: bool = False) -> float:
    """Return the mean probability of an answer's tokens, 0 without a token.

    `skip_first` leaves out the first token, which mostly is a brace; a single token is never left out.
    """
    kept = probabilities[1:] if skip_first and len(probabilities) > 1 else probabilities
    if not kept:
        return 0.0
    if mean == "arithmetic":
        return math.fsum(kept) / len(kept)
    return math.exp(math.fsum(map(math.log, kept)) / len(kept)) if all(p > 0 for p in kept) else 0.0


def cautious(confidences: Sequence[float], alpha: float = 1.0) -> float:
    """Return the mean of the trials' confidences less `alpha` times their mean distance from it (DEER-Pro)."""
    mean = math.fsum(confidences) / len(confidences)
    return mean - alpha * math.fsum(abs(value - mean) for value in confidences) / len(confidences)
