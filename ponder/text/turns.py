"""Where a thought turns: the marks of a reasoning model's second thoughts, found while the text comes in."""

from __future__ import annotations

import re
from collections.abc import Sequence

TURNS = ("Wait", "Alternatively", "Let me check", "等等", "等一下", "不对", "这对不对", "换个角度")
"""2504.15895's words, what small models say before they check again, and the same in Chinese, which is ours."""

PARAGRAPH = "\n\n"
"""The turn of models that use no such words."""


class Turns:
    """Finds marks, over the seams of pieces too. A mark in Latin letters counts where a word begins."""

    def __init__(self, marks: Sequence[str]) -> None:
        self._marks = re.compile("|".join(_head(mark) for mark in sorted(marks, key=len, reverse=True)))
        self._keep = max(map(len, marks))
        self._tail = ""
        self._from = 0
        self.behind = 0
        """Characters from the start of the mark that was found to the end of the text so far."""

    def feed(self, text: str) -> bool:
        """Take more text; say whether it completes a mark."""
        self._tail += text
        found = self._marks.search(self._tail, self._from)
        if found is not None:
            self.behind = len(self._tail) - found.start()
        # The first character that is kept only tells whether a word begins behind it.
        begin = max(0, len(self._tail) - self._keep) if found is None else found.end() - 1
        self._from = 1 if begin else self._from
        self._tail = self._tail[begin:]
        return found is not None


def _head(mark: str) -> str:
    return (r"(?<![A-Za-z])" if mark[:1].isascii() and mark[:1].isalpha() else "") + re.escape(mark)
