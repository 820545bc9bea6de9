"""What the questions of a table look like to a router: computed once, and weighed anew for each fold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from ponder.core.errors import DataError
from ponder.routers.features import Kind, counted, rarity, weighed
from ponder.routers.minilm import open_encoder
from ponder.train.routers.table import Indices
from ponder.weights.tensors import Array

PLACES = 2048
"""Numbers that words are hashed into. A ranking keeps the vectors of all questions, so it takes fewer."""
RANKING_PLACES = 256
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """Raw vectors of all rows (rows, width), and the facts that a router's file keeps of how they were made."""

    raw: Array
    facts: dict[str, object] = field(default_factory=dict)

    def fitted(self, rows: Indices) -> tuple[dict[str, Array], Array]:
        """Return what a router's file needs beside the facts, learnt from `rows` alone, and the vectors of all rows."""
        if self.facts["features"] != "words":
            return {}, self.raw
        idf = rarity(self.raw[rows])
        return {"idf": idf}, weighed(self.raw, idf)


def see(texts: Sequence[str], kind: Kind, encoder: Path | None, places: int, progress: Progress) -> Seen:
    """Return the vectors of texts, equal ones read once. Raises `DataError` without texts, or without an encoder."""
    if not texts:
        raise DataError("the table holds no question texts; name their column with --prompt, or take --kind category")
    if kind == "words":
        return Seen(_each(texts, lambda text: counted(text, places), progress), {"features": "words"})
    if encoder is None:
        raise DataError("features of an encoder need its folder; name it with --encoder, or take --features words")
    opened = open_encoder(encoder)
    facts: dict[str, object] = {
        "features": "encoder",
        "encoder": str(encoder.resolve()),
        "encoder_sha256": opened.sha256,
    }
    return Seen(_each(texts, opened.embed, progress), facts)


def _each(texts: Sequence[str], embed: Callable[[str], Array], progress: Progress) -> Array:
    known: dict[str, Array] = {}
    for done, text in enumerate(texts, 1):
        if text not in known:
            known[text] = embed(text)
        progress(done, len(texts))
    return np.stack([known[text] for text in texts])
