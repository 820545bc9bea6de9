"""AQuA-RAT: algebra word problems with five choices, the 254 of the test set (arXiv 1705.04146)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar, cast

from ponder.core.judge import Item, Reference
from ponder.tasks.shipped import FORMATS, item, lettered, rows
from ponder.verify.choice import Choice


@dataclass(frozen=True, slots=True)
class AQuA:
    """The test set of AQuA-RAT, in its own order."""

    name: ClassVar[str] = "aqua"
    verifier: ClassVar[Choice] = Choice("ABCDE")

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions with their choices; a reply may state a letter or the text of one choice."""
        for row in islice(rows("aqua_test.jsonl.gz"), limit):
            choices = cast(list[str], row["choices"])
            yield item(
                str(row["id"]),
                lettered(str(row["question"]), choices),
                FORMATS["choice"]["en"],
                Reference(str(row["answer"]), json.dumps({"choices": choices}, ensure_ascii=False)),
                self.verifier,
                {"rationale": str(row["rationale"])},
            )
