"""Small trained routers in a folder, for tests of what serves them."""

from __future__ import annotations

from pathlib import Path

from ponder.train.routers.fit import Kind, Settings
from ponder.train.routers.table import Table
from ponder.train.routers.train import store
from ponder.train.routers.vectors import see


def trained(kind: Kind, table: Table, folder: Path, places: int = 256) -> str:
    """Train a router on words, write it, and return its path."""
    seen = None if kind == "category" else see(table.questions, "words", None, places, lambda done, total: None)
    store(kind, table, seen, folder, Settings(rank=4))
    return str(folder)
