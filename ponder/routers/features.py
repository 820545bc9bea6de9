"""What a trained router sees of a question: one vector of length 1, from its words or from a small encoder."""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Literal, cast

import numpy as np

from ponder.core.errors import DataError
from ponder.routers.minilm import open_encoder
from ponder.routers.state import TOML, Built, State, trained
from ponder.routers.wordpiece import words
from ponder.weights.tensors import Array

Kind = Literal["words", "encoder"]
Embed = Callable[[str], Array]
"""Text to a float32 vector of length 1, or of zeros where nothing in the text is known."""


def counted(text: str, places: int) -> Array:
    """Return 1 + ln(count) of words and of pairs of neighbours, hashed into `places` numbers."""
    vector = np.zeros(places, np.float32)
    for term, count in Counter(_terms(text)).items():
        code = zlib.crc32(term.encode())
        # Half of all terms count downwards, so that terms which share a place cancel in the mean (0902.2206).
        vector[code % places] += (1 + math.log(count)) * (1 if code & 0x8000_0000 else -1)
    return vector


def rarity(counts: Array) -> Array:
    """Return how rare each place is among texts (n, places): ln((1 + n) / (1 + texts that have it)) + 1."""
    seen = (counts != 0).sum(axis=0)
    return cast(Array, (np.log((1 + len(counts)) / (1 + seen)) + 1).astype(np.float32))


def weighed(counts: Array, idf: Array) -> Array:
    """Return tf-idf of length 1, of one text (places) or of several (n, places)."""
    vectors = counts * idf
    return cast(Array, vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32(1e-12)))


def _terms(text: str) -> Iterable[str]:
    found = words(text)
    yield from found
    yield from (f"{first} {second}" for first, second in pairwise(found))


def trained_on(path: str, router: str, build: Callable[[State], Built], encoder: str) -> tuple[Built, Embed]:
    """Return what `build` makes of a router's files, and what turns questions into its vectors; kept as by `trained`.

    Both are read together, so that a router that changed to one for another encoder leaves the old one in place.
    """
    return trained(path, router, _with_vectors(build, encoder))


@cache
def _with_vectors(build: Callable[[State], Built], encoder: str) -> Callable[[State], tuple[Built, Embed]]:
    return lambda state: (build(state), embedder(state, encoder))


def embedder(state: State, folder: str) -> Embed:
    """Return what turns a question into the vector that a router was trained on.

    `folder` is where the encoder lies, by default where it lay while training. Raises `DataError` where it is another
    one, or where the state names no known features.
    """
    kind = state.text("features")
    if kind == "words":
        idf = state.array("idf", None)
        return lambda text: weighed(counted(text, len(idf)), idf)
    if kind != "encoder":
        raise DataError(f"{state.folder / TOML}: features = {kind!r} must be words or encoder")
    encoder = open_encoder(Path(folder or state.text("encoder")).expanduser())
    if encoder.sha256 != state.text("encoder_sha256"):
        raise DataError(
            f"{folder or state.text('encoder')} is not the encoder that {state.folder} was trained with "
            f"(encoder_sha256); get that one, or train the router again"
        )
    return encoder.embed
