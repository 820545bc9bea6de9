"""The steps of a reply: what stands between delimiters, each up to its last visible character."""

from __future__ import annotations

from collections.abc import Sequence


def plain(delimiter: str) -> str:
    r"""Return a delimiter as it stands in a text: on a command line a new line is written `\n`."""
    return delimiter.replace("\\n", "\n").replace("\\t", "\t")


def step_ends(text: str, delimiter: str, marks: Sequence[str] = ()) -> list[int]:
    """Return where each step ends, counted in characters; blanks behind it are no part of it.

    A piece that holds nothing but blanks and think marks is no step. Where the delimiter never comes, the whole text
    is one step.
    """
    ends, at = [], 0
    for piece in text.split(delimiter):
        if unmarked(piece, marks):
            ends.append(at + len(piece.rstrip()))
        at += len(piece) + len(delimiter)
    return ends


def step_texts(text: str, delimiter: str, marks: Sequence[str] = ()) -> list[str]:
    """Return the steps themselves, without think marks and the blanks around them."""
    pieces = (unmarked(piece, marks) for piece in text.split(delimiter))
    return [piece for piece in pieces if piece]


def unmarked(text: str, marks: Sequence[str]) -> str:
    """Return text without think marks, and without the blanks around it."""
    for mark in marks:
        text = text.replace(mark, "")
    return text.strip()
