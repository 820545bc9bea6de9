"""Rows of a study that survive a stop: one line of JSON each, written as it comes."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

Row = dict[str, Any]


@dataclass
class Kept:
    """Rows by (arm, question), in a file that grows; `tokens` are all that were generated for them."""

    path: Path
    rows: dict[tuple[str, str], Row] = field(default_factory=dict)
    tokens: int = 0
    file: TextIO | None = None

    @classmethod
    def open(cls, path: Path) -> Kept:
        """Read what is there; a line that was cut by a kill is dropped."""
        path.parent.mkdir(parents=True, exist_ok=True)
        kept = cls(path)
        if path.exists():
            lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
            whole = [line for line in lines if line.endswith("\n")]
            path.write_text("".join(whole), encoding="utf-8")
            for row in map(json.loads, whole):
                kept._take(row)
        kept.file = path.open("a", encoding="utf-8")
        return kept

    def put(self, row: Row) -> None:
        """Keep a row."""
        assert self.file is not None
        self.file.write(json.dumps(row, ensure_ascii=False) + "\n")
        self.file.flush()
        self._take(row)

    def _take(self, row: Row) -> None:
        self.rows[row["arm"], row["question"]] = row
        self.tokens += sum(row["roles"].values())
