"""ProsQA: which of two made-up concepts follows from a graph of statements, 500 test questions (arXiv 2412.06769)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from ponder.core.judge import Item, Reference
from ponder.tasks.shipped import FORMATS, item, rows
from ponder.verify.exact import Exact


@dataclass(frozen=True, slots=True)
class ProsQA:
    """The test set of ProsQA. The answer is the concept alone; a reply may also be a sentence that ends in it."""

    name: ClassVar[str] = "prosqa"
    verifier: ClassVar[Exact] = Exact("[a-z]+pus")

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions; `meta` has the chain of statements as `steps`, a JSON list."""
        for index, row in enumerate(islice(rows("prosqa_test.jsonl.gz"), limit)):
            concept = re.sub(r"^.* |\.$", "", str(row["answer"]))
            yield item(
                f"prosqa-test-{index}",
                str(row["question"]),
                FORMATS["exact"]["en"],
                Reference(concept),
                self.verifier,
                {"steps": json.dumps(row["steps"])},
            )
