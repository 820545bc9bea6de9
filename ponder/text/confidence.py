"""How sure a model says it is: the marks that it was trained to end with, and what it is asked for in words."""

from __future__ import annotations

import math
import re

from ponder.text.prompts import Phrase

MARKS = ("<CN>", "<UN>")
"""2410.13284: what a reply ends with, confident and unconfident."""

HOW_LIKELY = Phrase(
    "How likely is it that your answer is right? Reply with a whole number from 0 to 100 alone.",
    "你的答案正确的可能性有多大？只回答一个0到100之间的整数。",
)
"""Ours, after the verbalised confidence in two steps of 2502.04428."""

_NUMBER = re.compile(r"\d+(?:\.\d+)?")


def unmarked(answer: str, marks: tuple[str, str] = MARKS) -> str:
    """Return an answer without the mark at its end."""
    bare = answer.rstrip()
    for mark in marks:
        if bare.endswith(mark):
            return bare.removesuffix(mark).rstrip()
    return answer


def stated_share(text: str) -> float | None:
    """Return the first number of a reply as a share of 100, or None where there is none in 0 to 100."""
    found = _NUMBER.search(text)
    value = float(found[0]) / 100 if found else math.inf
    return value if value <= 1 else None
