"""The last box of a whole reply, compared by its signs alone: how many published figures of reasoning were graded."""

from __future__ import annotations

from dataclasses import dataclass

from ponder.core.judge import Reference
from ponder.text.answers import boxed
from ponder.text.latex import readable, spelling
from ponder.verify.base import Base


@dataclass(frozen=True, slots=True)
class Boxed(Base):
    """Compares spellings of formulas without algebra; a box inside an unfinished thought counts.

    For recorded replies, to meet figures that others counted this way; `Math` finds more right answers.
    """

    def extract(self, answer: str) -> str | None:
        """Return the spelling of the last box, thinking included; a text without a box states no answer."""
        found = boxed(answer)
        return None if found is None else spelling(found)

    def same(self, a: str, b: str) -> bool:
        """Say whether two spellings are one."""
        return a == b

    def check(self, reference: Reference) -> str | None:
        """A reference must be a formula with matching brackets."""
        return readable(reference.text)

    def gold(self, reference: Reference) -> str | None:
        """Return the spelling of a reference, which stands in no box."""
        return spelling(reference.text)
