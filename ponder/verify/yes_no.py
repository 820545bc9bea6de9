"""Yes or no, in English or Chinese."""

from __future__ import annotations

from dataclasses import dataclass

from ponder.core.judge import Reference
from ponder.text.answers import yes_no
from ponder.verify.base import Base


@dataclass(frozen=True, slots=True)
class YesNo(Base):
    """Compares yes with no; true and false, 是 and 否 are other words for them."""

    def extract(self, answer: str) -> str | None:
        """Return `yes` or `no`."""
        return yes_no(answer)

    def same(self, a: str, b: str) -> bool:
        """Say whether two extracted answers are one."""
        return a == b

    def check(self, reference: Reference) -> str | None:
        """A reference must say yes or no and nothing else."""
        short = len(reference.text.strip()) <= 8
        return None if short and yes_no(reference.text) else f"{reference.text!r} is neither yes nor no"
