"""Hashed features of a question: its words and pairs of words, and its shape, which means the same in any language."""

from __future__ import annotations

import math
import re
import zlib
from collections import Counter
from itertools import pairwise

from ponder.text.prompts import is_chinese

BUCKETS = 4096
"""Features; words that fall into one bucket share a weight."""

_WORD = re.compile(r"[^\W\d_]+|\d+|[^\w\s]", re.UNICODE)
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_UNIT = re.compile(
    r"\b(?:km|kg|cm|mm|ml|mol|hz|kj|nm|mg|ph|dna|rna)\b|[°Ωμ]|米|千克|公里|升|克|元|小时|分钟", re.IGNORECASE
)
_SYMBOL = re.compile(r"[=<>^√∫∑±×÷∂λπ∈|{}\[\]]")
_CUES = {
    "quantity": re.compile(
        r"\bhow (?:many|much|long|far|old|fast|tall|big)\b|\b(?:sum|mean|average|product|percent|total)\b|[%％]"
        r"|多少|多远|多大|多久|[几幾][个小天只条]|总|平均|一共|打折|[加减乘除]",
        re.IGNORECASE,
    ),
    "yes or no": re.compile(
        r"(?:^|[.!] )(?:is|are|was|were|do|does|did|can|could|would|will|has|have|had|should|might)\b"
        r"|吗|是否|能不能|会不会",
        re.IGNORECASE,
    ),
    "who or where": re.compile(r"\b(?:who|whose|where|country|city)\b|谁|哪里|哪个国家|作者|首都|朝代", re.IGNORECASE),
    "technical": re.compile(
        r"\b(?:enzym|diagnos|algorithm|complexity|protein|gene|nerve|cell|virus|circuit|orbital|oxid|acid|patient|neural)"
        r"|酶|诊断|杂化|复杂度|算法|神经|蛋白|基因|细胞|病毒|电路|氧化|反应|患者|血",
        re.IGNORECASE,
    ),
}
"""Words that say the same in both languages, so that what is learnt in one holds in the other."""
_ASIDE = re.compile(r"^[ \t]*(?:\(?[A-J][).:][ \t].*|Answer:|.*\\boxed.*)$", re.MULTILINE)
_LETTERS = re.compile(r"[^\W\d_]", re.UNICODE)
_LATIN = re.compile(r"[A-Za-z]")


def bare(question: str) -> str:
    """Return a question without its choices and without how it shall be answered: neither tells what it is about."""
    return _ASIDE.sub("", question).strip()


def hashed(question: str, words: bool = True) -> dict[int, float]:
    """Return the features of a question: bucket to a number; those of the words have length 1 together.

    `words=False` leaves the words out, as is done where they are of no language that the weights know.
    """
    question = bare(question)
    shape = _shape(question)
    features = {_bucket(f"shape/{name}"): value for name, value in shape.items() if value}
    if not words:
        return features
    tokens = ["0" if token.isdecimal() else token.casefold() for token in _WORD.findall(question)]
    pairs = [f"{first} {second}" for first, second in pairwise(tokens)]
    counts = Counter(_bucket(f"word/{token}") for token in [*tokens, *pairs])
    values = {bucket: 1 + math.log(count) for bucket, count in counts.items()}
    length = math.sqrt(math.fsum(value * value for value in values.values())) or 1.0
    for bucket, value in values.items():
        features[bucket] = features.get(bucket, 0.0) + value / length
    return features


def known_words(question: str) -> bool:
    """Say whether a question is in Latin letters, so that English weights may know its words."""
    question = bare(question)
    letters = _LETTERS.findall(question)
    return bool(letters) and not is_chinese(question) and len(_LATIN.findall(question)) >= 0.9 * len(letters)


def _shape(question: str) -> dict[str, float]:
    found, size = _NUMBER.findall(question), len(question)
    return {
        **{name: float(bool(cue.search(question))) for name, cue in _CUES.items()},
        "one": 1.0,
        "a number": float(len(found) == 1),
        "several numbers": float(len(found) > 1),
        "numbers": math.log1p(len(found)) / 2,
        "digits": math.log1p(max(map(len, found), default=0)),
        "units": float(bool(_UNIT.search(question))),
        "symbols": min(3, len(_SYMBOL.findall(question))) / 3,
        # A Chinese character says about as much as three letters.
        "length": math.log1p(size * (3 if is_chinese(question) else 1)) / 8,
        "asks": float(question.rstrip().endswith(("?", "？"))),
    }


def _bucket(feature: str) -> int:
    return zlib.crc32(feature.encode("utf-8", "surrogatepass")) % BUCKETS
