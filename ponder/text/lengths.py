"""How long a chain of thought is, and which lengths agree best: bins of replies by length (2502.07266)."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence

_WORD = re.compile("[\u3400-\u4dbf\u4e00-\u9fff]|[^\\s\u3400-\u4dbf\u4e00-\u9fff]+")
_BLANK = re.compile(r"\n[^\S\n]*\n")


def lines(text: str) -> int:
    """Return how many lines are not blank."""
    return sum(bool(line.strip()) for line in text.split("\n"))


def paragraphs(text: str) -> int:
    """Return how many pieces blank lines make of a text."""
    return sum(bool(piece.strip()) for piece in _BLANK.split(text))


def words_a_line(text: str) -> float:
    """Return the mean number of words of the lines that are not blank; a Han character is a word, so is a sign."""
    return len(_WORD.findall(text)) / (lines(text) or 1)


def bins_by_width(lengths: Mapping[int, int], width: int) -> list[list[int]]:
    """Return the samples of each bin, the shortest first: bin b holds the lengths from b * width on."""
    found: dict[int, list[int]] = {}
    for index, length in lengths.items():
        found.setdefault(length // width, []).append(index)
    return [found[place] for place in sorted(found)]


def bins_by_quantile(lengths: Mapping[int, int], bins: int) -> list[list[int]]:
    """Return the samples of up to `bins` bins of about equal size, the shortest first. Equal lengths stay together."""
    order = sorted(lengths.values())
    cuts = [order[len(order) * i // bins] for i in range(1, bins) if order]
    found: dict[int, list[int]] = {}
    for index, length in lengths.items():
        found.setdefault(bisect_right(cuts, length), []).append(index)
    return [found[place] for place in sorted(found)]


def entropy(counts: Sequence[int]) -> float:
    """Return the entropy of answers with these counts, in nats."""
    total = sum(counts)
    return math.fsum(-count / total * math.log(count / total) for count in counts if count)


def agreeing(bins: Sequence[Sequence[int]], groups: Sequence[Sequence[int]], keep: int, smallest: int) -> list[int]:
    """Return the samples in the `keep` bins whose answers have the least entropy, in growing order.

    `groups` are the samples by answer. Of equal entropies the shorter bin is kept. Bins with fewer than `smallest`
    samples are left out: a single one always agrees with itself. All stay where there are no more than `keep` bins,
    or none is large enough.
    """
    large = [members for members in bins if len(members) >= smallest]
    if len(bins) <= keep or not large:
        return sorted(index for members in bins for index in members)

    def disagreement(members: Sequence[int]) -> float:
        counts = sorted(sum(index in group for index in members) for group in groups)
        # Rounded, so that equal shares tie whatever their order.
        return round(entropy(counts), 12)

    return sorted(index for members in sorted(large, key=disagreement)[:keep] for index in members)
