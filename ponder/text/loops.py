"""When has a text begun to repeat itself? Exact and nearly exact repetition, found while the text is written."""

from __future__ import annotations

import re
from collections import Counter, deque
from typing import Literal, NamedTuple

_CJK = "\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\uac00-\ud7af"
_PIECE = re.compile(rf"\d{{1,32}}|[^\W\d_{_CJK}]{{1,32}}|\S")
_RUN = re.compile(rf"[^\W_{_CJK}]{{1,31}}")
_WORD = re.compile(rf"[^\W\d_{_CJK}]{{3,}}|[{_CJK}]")

SEED = 4
"""Pieces that must match before a distance is taken for a period."""
_UNREAD = 150
"""Characters that cannot hold a loop yet; most answers are shorter, and cost nothing."""
BLANKS = 500
"""White space in a row that no text needs."""
SHORT, LONG = 300, 800
"""Characters of exact repetition: of a phrase that stands there four times, of a passage three times."""
WORDS = 600
"""The same for one word, or a few: lists of equal entries are data."""
DATA = 2000
"""The same for repetition without words: sums, matrices, rulers."""
GRAM, WINDOW, AGAIN = 8, 240, 3
"""Near repetition: in a window of pieces, nearly each run of eight has been written three times before."""
SHARE = 0.95
ITEM = 8
"""Pieces of an item whose number is left out of the comparison: shorter ones are what is counted."""
VARIETY = 10
"""Different words that the window holds at least: a truth table has few, and is no loop."""


class Loop(NamedTuple):
    """A repetition. `start` is the position in the text, in characters, from which on it says nothing new."""

    kind: Literal["exact", "near", "blank"]
    period: int
    """In pieces (words, numbers, signs); 0 where there is no one period."""
    start: int


class Loops:
    """Watches one text. Time and memory for each piece are constant.

    It would rather be late than wrong. What changes a number with each round is no loop, however alike the rounds are:
    that is how cases are enumerated.
    """

    def __init__(self) -> None:
        self._tail = ""
        self._read = self._blanks = 0
        self._fresh = True
        self._since = ITEM
        self._number: tuple[str, int] | None = None
        self._exact = _Exact()
        self._near = _Near()
        self.found: Loop | None = None

    def feed(self, text: str) -> Loop | None:
        """Take more of the text; return the loop once there is one."""
        if self.found:
            return self.found
        self._count_blanks(text)
        self._tail += text
        if not self._read and len(self._tail) < _UNREAD:
            return self.found
        end = len(self._tail)
        gap = 0
        for match in _PIECE.finditer(self._tail):
            piece, at = match[0], match.start()
            if match.end() == end and _RUN.fullmatch(piece):
                # The word may go on.
                end = gap
                break
            self._piece(piece, self._read + at, self._tail[gap:at])
            gap = match.end()
        else:
            self._fresh = self._fresh or "\n" in self._tail[gap:]
        self._read += end
        self._tail = self._tail[end:]
        return self.found

    def _piece(self, piece: str, at: int, gap: str) -> None:
        """Take one piece. The number of a list's item is none of its content, unless the items are mere words."""
        number, self._number = self._number, None
        if number is not None:
            item = piece in ".)" and not gap
            self._compare("#" if item and self._since >= ITEM else number[0], number[1])
            self._since = 0 if item else self._since
        self._since += 1
        fresh, self._fresh = self._fresh or "\n" in gap, False
        if fresh and piece.isdigit():
            self._number = (piece, at)
        else:
            self._compare(piece, at)

    def _compare(self, piece: str, at: int) -> None:
        word = bool(_WORD.fullmatch(piece))
        exact, near = self._exact.feed(piece, word, at), self._near.feed(piece, word, at)
        self.found = self.found or exact or near

    def _count_blanks(self, text: str) -> None:
        """Count white space in a row; what ends a piece of text goes on in the next one."""
        head = len(text) - len(text.lstrip())
        if self._blanks + head >= BLANKS:
            self.found = Loop("blank", 0, max(0, self._read + len(self._tail) - self._blanks))
        self._blanks = self._blanks + head if head == len(text) else len(text) - len(text.rstrip())


class _Exact:
    """Equal pieces at one distance. The distance is where the last few pieces stood before."""

    def __init__(self) -> None:
        self._pieces: list[str] = []
        self._starts: list[int] = []
        self._last: dict[tuple[str, ...], int] = {}
        self._period = self._run = self._size = self._words = 0

    def feed(self, piece: str, word: bool, start: int) -> Loop | None:
        pieces, index = self._pieces, len(self._pieces)
        pieces.append(piece)
        self._starts.append(start)
        recent = tuple(pieces[-SEED:])
        if self._period and pieces[index - self._period] == piece:
            self._run += 1
            self._size += len(piece) + 1
            self._words += word
        else:
            before = self._last.get(recent) if len(recent) == SEED else None
            self._period = 0 if before is None else index - before
            self._run, self._size = SEED, sum(map(len, recent)) + SEED
            self._words = sum(bool(_WORD.fullmatch(each)) for each in recent)
        self._last[recent] = index
        return self._loop() if self._period else None

    def _loop(self) -> Loop | None:
        period, run, size = self._period, self._run, self._size
        if not self._words:
            enough = size >= DATA and run >= 20 * period
        elif period <= SEED:
            enough = size >= WORDS
        else:
            enough = (size >= SHORT and run >= 3 * period) or (size >= LONG and run >= 2 * period)
        return Loop("exact", period, self._starts[-run]) if enough else None


class _Near:
    """Runs of pieces that have all been written before, in whatever order."""

    def __init__(self) -> None:
        self._recent: deque[str] = deque(maxlen=GRAM)
        self._kinds: deque[tuple[bool, bool]] = deque([(False, False)] * GRAM)
        self._count: dict[int, int] = {}
        self._window: deque[tuple[str, bool, bool, bool, int]] = deque()
        self._vocabulary: Counter[str] = Counter()
        self._old = self._cases = self._words = self._digits = 0

    def feed(self, piece: str, word: bool, start: int) -> Loop | None:
        self._recent.append(piece)
        digit = piece.isdigit()
        self._kinds.append((word, digit))
        gone, lost = self._kinds.popleft()
        self._words += word - gone
        self._digits += digit - lost
        gram = hash(tuple(self._recent))
        times = self._count.get(gram, 0)
        self._count[gram] = times + 1
        old = times >= AGAIN and self._words >= 3
        case = times == 0 and self._digits > 0
        self._old += old
        self._cases += case
        self._window.append((piece, word, old, case, start))
        self._vocabulary[piece] += word
        if len(self._window) <= WINDOW:
            return None
        self._leave(*self._window.popleft()[:4])
        enough = self._old >= SHARE * WINDOW and not self._cases and len(self._vocabulary) >= VARIETY
        return Loop("near", 0, self._window[0][4]) if enough else None

    def _leave(self, piece: str, word: bool, old: bool, case: bool) -> None:
        self._old -= old
        self._cases -= case
        self._vocabulary[piece] -= word
        if not self._vocabulary[piece]:
            del self._vocabulary[piece]
