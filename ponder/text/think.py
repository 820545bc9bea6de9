"""Split a stream of text into thinking and answer where the model's own marks stand."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Piece(NamedTuple):
    """A run of text of one channel; `markup` says that it is a mark and not content."""

    text: str
    channel: Literal["think", "answer"]
    markup: bool = False


class ThinkSplitter:
    """Splits text as it arrives. Marks may be cut anywhere, and both may come in one piece.

    Text that could still become a mark is held back until it is known; `flush()` gives it out at the end.
    `open` and `close` are matched by their visible part. Blanks that follow a mark belong to neither channel and count
    as markup; blanks before a mark stay with their text, which may have been shown already.
    """

    def __init__(self, open: str, close: str, prefill: str = "", opened: bool = False) -> None:
        self._open, self._close = open.strip(), close.strip()
        self._held = ""
        self._blank = False
        self._thinking = False
        if self._close:
            inside = opened and self._close not in prefill
            last_open = prefill.rfind(self._open) if self._open else -1
            self._thinking = inside or last_open > prefill.rfind(self._close)
            tail = prefill.rstrip()
            self._blank = tail.endswith((self._open or "\0", self._close)) or (inside and not tail)

    @property
    def thinking(self) -> bool:
        """Whether the next text belongs to the thought."""
        return self._thinking

    def feed(self, text: str) -> list[Piece]:
        """Return the pieces that are known after `text`; their texts join to all input, in order."""
        mark = self._close if self._thinking else self._open
        if not (self._held or self._blank or (mark and mark[0] in text)):
            # The common case, and the hot path: nothing is held back, and no mark can begin here.
            return [Piece(text, "think" if self._thinking else "answer")] if text else []
        self._held += text
        pieces: list[Piece] = []
        while self._held:
            if self._blank and not self._strip_blanks(pieces):
                break
            mark = self._close if self._thinking else self._open
            found = self._held.find(mark) if mark else -1
            if found < 0:
                keep = _overlap(self._held, mark) if mark else 0
                self._emit(pieces, len(self._held) - keep)
                break
            self._emit(pieces, found)
            pieces.append(Piece(self._held[: len(mark)], "think", markup=True))
            self._held = self._held[len(mark) :]
            self._thinking = not self._thinking
            self._blank = True
        return pieces

    def flush(self) -> list[Piece]:
        """Return what was held back, as content."""
        pieces: list[Piece] = []
        self._emit(pieces, len(self._held))
        return pieces

    def _emit(self, pieces: list[Piece], length: int) -> None:
        if length:
            pieces.append(Piece(self._held[:length], "think" if self._thinking else "answer"))
            self._held = self._held[length:]

    def _strip_blanks(self, pieces: list[Piece]) -> bool:
        """Give out the blanks behind a mark as markup; say whether anything else is left."""
        rest = self._held.lstrip()
        blanks = len(self._held) - len(rest)
        if blanks:
            pieces.append(Piece(self._held[:blanks], "think" if self._thinking else "answer", markup=True))
            self._held = rest
        self._blank = not rest
        return bool(rest)


def _overlap(text: str, mark: str) -> int:
    """Return how many characters at the end of `text` could be the beginning of `mark`."""
    for length in range(min(len(mark) - 1, len(text)), 0, -1):
        if text.endswith(mark[:length]):
            return length
    return 0


def split(text: str, open: str, close: str, opened: bool = False) -> tuple[str, str]:
    """Return (thinking, answer) of a whole reply, without marks."""
    splitter = ThinkSplitter(open, close, opened=opened)
    pieces = [*splitter.feed(text), *splitter.flush()]
    parts = {"think": "", "answer": ""}
    for piece in pieces:
        if not piece.markup:
            parts[piece.channel] += piece.text
    return parts["think"], parts["answer"]
