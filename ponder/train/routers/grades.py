"""Conversations that teach a language model to grade how well the weak choice would do on a question (2406.18665)."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from ponder.core.errors import DataError
from ponder.routers.causal import prompt
from ponder.train.routers.table import Table
from ponder.weights.staged import staged_file


def grade(gain: float) -> str:
    """Return the grade of the weak choice, from how much better the strong one did: 1 better, 4 a tie, 5 worse."""
    return "1" if gain > 0 else "4" if gain == 0 else "5"


def write_conversations(table: Table, out: Path) -> dict[str, int]:
    """Write one conversation a row, as JSON lines for `ponder train sft`; return how many rows have each grade.

    Raises `DataError` for a table without outcomes of two choices, or without texts.
    """
    if table.success is None or len(table.choices) != 2 or not table.questions:
        raise DataError("a causal classifier learns from outcomes of two choices on questions with texts")
    counts: Counter[str] = Counter()
    with staged_file(out) as stage, stage.open("w", encoding="utf-8") as file:
        for text, (weak, strong) in zip(table.questions, table.success, strict=True):
            found = grade(float(strong - weak))
            counts[found] += 1
            turns = [{"role": message.role, "content": message.text} for message in prompt(text).messages]
            turns.append({"role": "assistant", "content": f"[[{found}]]"})
            file.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
    return {name: counts[name] for name in sorted(counts)}
