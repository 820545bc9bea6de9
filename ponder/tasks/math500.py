"""MATH-500: competition problems of seven subjects and five levels with formulas as answers (arXiv 2103.03874)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from ponder.core.judge import Item, Reference
from ponder.tasks.shipped import FORMATS, item, rows
from ponder.verify.math import Math


@dataclass(frozen=True, slots=True)
class MATH500:
    """The 500 problems that are in common use, in their own order."""

    name: ClassVar[str] = "math500"
    verifier: ClassVar[Math] = Math()

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions; `meta` has `subject`, `level` and the solution written by people as `rationale`."""
        for row in islice(rows("math500.jsonl.gz"), limit):
            place = str(row["id"]).removeprefix("test/").removesuffix(".json").replace("/", "-")
            yield item(
                f"math500-{place}",
                str(row["question"]),
                FORMATS["math"]["en"],
                Reference(str(row["answer"])),
                self.verifier,
                {key: str(row[key]) for key in ("subject", "level", "rationale")},
            )
