"""GSM8K: grade-school word problems with whole-number answers, the 1,319 of the test set (arXiv 2110.14168)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from ponder.core.judge import Item, Reference
from ponder.tasks.shipped import FORMATS, item, rows
from ponder.verify.number import Number


@dataclass(frozen=True, slots=True)
class GSM8K:
    """The test set of GSM8K, in its own order."""

    name: ClassVar[str] = "gsm8k"
    verifier: ClassVar[Number] = Number()

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions; `meta` has the solution written by people as `rationale`."""
        for row in islice(rows("gsm8k_test.jsonl.gz"), limit):
            yield item(
                str(row["id"]),
                str(row["question"]),
                FORMATS["number"]["en"],
                Reference(str(row["answer"])),
                self.verifier,
                {"rationale": str(row["rationale"])},
            )
