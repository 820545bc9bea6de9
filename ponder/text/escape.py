"""Escapes: find the thinking that goes on inside an answer once its thought is closed, by marks that betray it."""

from __future__ import annotations

from typing import Literal, NamedTuple

USUAL = (
    ("<think>", "</think>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
    ("<seed:think>", "</seed:think>"),
    ("<|channel>thought", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
)
"""Marks that are looked for where nobody knows the model's own."""

Kind = Literal["answer", "think", "again"]
_QUOTES = "`\"'“‘«「"


class Part(NamedTuple):
    """A piece of an answer: `answer` is just that, `think` belongs to a thought opened inside it, marks included.

    `again` is a second closing mark: all that came before it was thinking, too.
    """

    kind: Kind
    text: str


class Escape:
    """Splits an answer as it arrives, marks cut anywhere.

    A mark is a mention, and stays, inside code, behind a quotation mark, or between blanks in the middle of a line:
    whoever asks about think tags gets them in the answer. Text that may still become a mark is held back; `flush()`
    gives it out at the end.
    """

    def __init__(self, open: str = "", close: str = "") -> None:
        own = (open.strip(), close.strip())
        pairs = (own,) if own[1] else USUAL
        self._closes = tuple(pair[1] for pair in pairs)
        self._marks = tuple(mark for pair in pairs for mark in pair if mark)
        self._held = ""
        self._inside = False
        self._line = _Line()

    @property
    def inside(self) -> bool:
        """Whether the next text belongs to a thought inside the answer."""
        return self._inside

    def feed(self, text: str) -> list[Part]:
        """Return the parts that are known after `text`."""
        if not self._held and not any(mark[0] in text for mark in self._marks):
            return self._emit(text)
        self._held += text
        parts: list[Part] = []
        at = 0
        while found := _first(self._held, self._marks, at):
            start, mark = found
            after = self._held[start + len(mark) : start + len(mark) + 1]
            mention = self._line.after(self._held[:start]).mentions(after)
            if mention is None:
                parts += self._emit(self._held[:start])
                self._held = self._held[start:]
                return parts
            if mention:
                at = start + len(mark)
                continue
            parts += self._emit(self._held[:start])
            parts += self._mark(mark)
            self._held, at = self._held[start + len(mark) :], 0
        keep = max((_overlap(self._held[at:], mark) for mark in self._marks), default=0)
        known, self._held = self._held[: len(self._held) - keep], self._held[len(self._held) - keep :]
        return parts + self._emit(known)

    def flush(self) -> list[Part]:
        """Return what was held back: a whole mark at the very end is one, the beginning of one is text."""
        held, self._held = self._held, ""
        return self._mark(held) if held in self._marks else self._emit(held)

    def _mark(self, mark: str) -> list[Part]:
        self._line = _Line()
        if self._inside or mark not in self._closes:
            self._inside = mark not in self._closes
            return [Part("think", mark)]
        return [Part("again", mark)]

    def _emit(self, text: str) -> list[Part]:
        if not text:
            return []
        self._line = self._line.after(text)
        return [Part("think" if self._inside else "answer", text)]


class _Line(NamedTuple):
    """What matters of the line that is being written."""

    fenced: bool = False
    ticks: bool = False
    visible: bool = False
    last: str = ""
    head: str = ""

    def after(self, text: str) -> _Line:
        """Return the line once `text` is added to it."""
        fenced, line = self.fenced, self
        *ended, rest = text.split("\n")
        for piece in ended:
            fenced ^= (line.head + piece.lstrip())[:3] == "```"
            line = _Line(fenced, last="\n")
        if not rest:
            return line
        head = (line.head + (rest if line.head else rest.lstrip()))[:3]
        return _Line(
            fenced,
            line.ticks ^ bool(rest.count("`") % 2),
            line.visible or bool(rest.strip()),
            rest[-1],
            head,
        )

    def mentions(self, after: str) -> bool | None:
        """Say whether a mark at this place is only talked about; None where the next character has to tell."""
        if self.fenced or self.head == "```" or self.ticks or (self.last and self.last in _QUOTES):
            return True
        if not self.visible or not self.last.isspace():
            return False
        return (after != "\n" and after.isspace()) if after else None


def _first(text: str, marks: tuple[str, ...], start: int) -> tuple[int, str] | None:
    """Return where the first mark stands from `start` on, and which one it is."""
    found = [(at, mark) for mark in marks if (at := text.find(mark, start)) >= 0]
    return min(found) if found else None


def _overlap(text: str, mark: str) -> int:
    """Return how many characters at the end of `text` could be the beginning of `mark`."""
    return next((n for n in range(min(len(mark) - 1, len(text)), 0, -1) if text.endswith(mark[:n])), 0)
