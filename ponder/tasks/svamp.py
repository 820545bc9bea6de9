"""SVAMP: one-step word problems with misleading variations, all 1,000 (arXiv 2103.07191)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from ponder.core.judge import Item, Reference
from ponder.tasks.shipped import FORMATS, item, rows
from ponder.verify.number import Number


@dataclass(frozen=True, slots=True)
class SVAMP:
    """The whole challenge set of SVAMP."""

    name: ClassVar[str] = "svamp"
    verifier: ClassVar[Number] = Number()

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions; `meta` has the operation as `type` and the formula as `equation`."""
        for row in islice(rows("svamp.jsonl.gz"), limit):
            yield item(
                f"svamp-{row['id']}",
                str(row["question"]),
                FORMATS["number"]["en"],
                Reference(str(row["answer"])),
                self.verifier,
                {"type": str(row["type"]), "equation": str(row["equation"])},
            )
