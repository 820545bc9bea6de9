"""StrategyQA: yes-or-no questions whose steps are implicit, the 229 of the dev set (arXiv 2101.02235)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import ClassVar

from ponder.core.judge import Item, Reference
from ponder.tasks.shipped import FORMATS, item, rows
from ponder.verify.yes_no import YesNo


@dataclass(frozen=True, slots=True)
class StrategyQA:
    """The dev set of StrategyQA, without the facts: a model must know them."""

    name: ClassVar[str] = "strategyqa"
    verifier: ClassVar[YesNo] = YesNo()

    def items(self, limit: int | None = None) -> Iterator[Item]:
        """Yield the questions; `meta` has `facts` and `decomposition` as JSON lists."""
        for row in islice(rows("strategyqa_dev.jsonl.gz"), limit):
            yield item(
                f"strategyqa-dev-{row['id']}",
                str(row["question"]),
                FORMATS["yes_no"]["en"],
                Reference(str(row["answer"])),
                self.verifier,
                {key: json.dumps(row[key], ensure_ascii=False) for key in ("facts", "decomposition")},
            )
