"""One number is right if it is the reference's number, however it is written."""

from __future__ import annotations

from dataclasses import dataclass

from ponder.core.judge import Reference
from ponder.text.answers import number
from ponder.text.numbers import canonical, equal
from ponder.verify.base import Base


@dataclass(frozen=True, slots=True)
class Number(Base):
    """Compares by value: `1,234.50 dollars`, `$1234.5` and `2469/2` are one answer."""

    def extract(self, answer: str) -> str | None:
        """Return the number that a reply states, in its one spelling."""
        return number(answer)

    def same(self, a: str, b: str) -> bool:
        """Say whether two extracted numbers have the same value."""
        return equal(a, b)

    def check(self, reference: Reference) -> str | None:
        """A reference must be a number and nothing else."""
        return None if canonical(reference.text) is not None else f"{reference.text!r} is not a number"
