"""Results that survive a stop: rows by key in one file, written after each."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Results:
    """Rows by key, written to a file after each one."""

    path: Path
    settings: dict[str, object]
    rows: dict[str, dict[str, object]] = field(default_factory=dict)

    @classmethod
    def open(cls, path: Path, settings: dict[str, object]) -> Results:
        """Go on with a file that was made with the same settings; refuse one that was not."""
        if not path.exists():
            return cls(path, settings)
        kept = json.loads(path.read_text())
        if kept["settings"] != settings:
            raise SystemExit(f"{path} holds a run with other settings ({kept['settings']}); name another --out")
        return cls(path, settings, kept["rows"])

    def put(self, key: str, row: dict[str, object]) -> None:
        """Keep a row."""
        self.rows[key] = row
        fresh = self.path.with_suffix(".new")
        fresh.write_text(json.dumps({"settings": self.settings, "rows": self.rows}, indent=1) + "\n")
        os.replace(fresh, self.path)
