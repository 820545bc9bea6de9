"""A text is right if it is the reference, letter case, spaces and closing marks apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ponder.core.errors import OptionError
from ponder.core.judge import Reference
from ponder.text.answers import stated
from ponder.verify.base import Base

_REASON = re.compile(r"\b(?:because|since|as)\b|因为")
_TEXT = re.compile(r"\\(?:text|mbox|mathrm|textbf|mathbf)\s*\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Exact(Base):
    r"""Compares texts.

    `pattern` says what an answer looks like, such as `[a-z]+pus`: then the answer is the last word of that form in what
    the reply states, and words behind `not a` do not count.
    """

    pattern: str = ""

    def __post_init__(self) -> None:
        """Refuse a pattern that is no regular expression."""
        try:
            re.compile(self.pattern)
        except re.error as error:
            raise OptionError(f"Exact: pattern = {self.pattern!r} is no regular expression: {error}") from None

    def extract(self, answer: str) -> str | None:
        """Return the text that a reply states: its last box, else the last marked line, else its last line."""
        found = None
        for short in stated(answer):
            plain = _plain(short)
            found = self._match(plain) if self.pattern else plain
            if found:
                return found
        return None

    def _match(self, text: str) -> str | None:
        either = rf"{self.pattern}\s+(?:or|and)\s+(?:an?\s+)?{self.pattern}"
        if text.endswith(("?", "？")) or re.search(either, text):
            return None
        head = _REASON.split(text, maxsplit=1)[0]
        return self._last(head) or self._last(text)

    def _last(self, text: str) -> str | None:
        matches = list(re.finditer(rf"(?<!\w)(?P<negation>not\s+(?:an?\s+)?)?(?P<word>{self.pattern})(?!\w)", text))
        kept = [match["word"] for match in matches if match["negation"] is None]
        return kept[-1] if kept else None

    def same(self, a: str, b: str) -> bool:
        """Say whether two extracted texts are equal."""
        return a == b

    def check(self, reference: Reference) -> str | None:
        """A reference must hold something to compare, and fit the pattern if there is one."""
        return None if self.extract(reference.text) else f"{reference.text!r} holds nothing to compare"


def _plain(text: str) -> str:
    """Return a text without markup, closing marks and differences of case and spacing."""
    text = _TEXT.sub(r"\1", text)
    text = re.sub(r"[*`$]", "", text).strip().strip("\"'“”‘’").strip()
    return re.sub(r"\s+", " ", text.rstrip(".。!！")).casefold()
