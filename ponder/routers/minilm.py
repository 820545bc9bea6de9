"""A small BERT in plain numpy: what a sentence is about, as one vector, without torch (1908.10084)."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt

from ponder.core.errors import DataError
from ponder.routers.wordpiece import encode
from ponder.weights.tensors import Array, open_weights, read_object

TOKENS = 64
"""The longest text, [CLS] and [SEP] included; the rest is not read. Time grows with it, and routing must be quick."""


@dataclass(frozen=True, slots=True)
class Layer:
    """One block's weights, matrices as (inputs, outputs); queries, keys and values are one matrix."""

    qkv: Array
    qkv_bias: Array
    out: Array
    out_bias: Array
    norm: tuple[Array, Array]
    up: Array
    up_bias: Array
    down: Array
    down_bias: Array
    last_norm: tuple[Array, Array]


@dataclass(frozen=True, slots=True)
class Encoder:
    """A text goes in, a vector of length 1 comes out: the mean of the last layer's states."""

    vocabulary: Mapping[str, int]
    words: Array
    places: Array
    norm: tuple[Array, Array]
    layers: tuple[Layer, ...]
    heads: int
    sha256: str
    """Of the file that holds the weights: a router serves with the encoder that it was trained with."""

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return int(self.words.shape[1])

    def embed(self, text: str) -> Array:
        """Return the vector of a text, float32 of shape (width,)."""
        ids = encode(text, self.vocabulary, min(TOKENS, len(self.places)))
        states = _normed(self.words[ids] + self.places[: len(ids)], self.norm)
        for layer in self.layers:
            states = self._block(layer, states)
        mean = states.mean(axis=0)
        return cast(Array, mean / max(float(np.linalg.norm(mean)), 1e-12))

    def _block(self, layer: Layer, states: Array) -> Array:
        length, width = states.shape
        mixed = (states @ layer.qkv + layer.qkv_bias).reshape(length, 3, self.heads, -1).transpose(1, 2, 0, 3)
        queries, keys, values = mixed
        scores = queries @ keys.transpose(0, 2, 1) * np.float32(1 / math.sqrt(width // self.heads))
        scores -= scores.max(axis=-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(axis=-1, keepdims=True)
        seen = (scores @ values).transpose(1, 0, 2).reshape(length, width)
        states = _normed(states + seen @ layer.out + layer.out_bias, layer.norm)
        inner = _gelu(states @ layer.up + layer.up_bias)
        return _normed(states + inner @ layer.down + layer.down_bias, layer.last_norm)


def _normed(states: npt.NDArray[np.floating], norm: tuple[Array, Array]) -> Array:
    states = states - states.mean(axis=-1, keepdims=True)
    states /= np.sqrt((states * states).mean(axis=-1, keepdims=True) + np.float32(1e-12))
    return cast(Array, states * norm[0] + norm[1])


def _gelu(x: Array) -> Array:
    """Return x Φ(x), with the tanh form of Φ: at most 0.0005 off, and numpy has no erf."""
    inner = x * x
    inner *= np.float32(0.044715)
    inner += np.float32(1)
    inner *= x
    inner *= np.float32(math.sqrt(2 / math.pi))
    np.tanh(inner, out=inner)
    inner += np.float32(1)
    inner *= x
    inner *= np.float32(0.5)
    return inner


def open_encoder(folder: Path) -> Encoder:
    """Return the encoder in a transformers folder, loaded once. Raises `DataError` where it is no small BERT."""
    return _open(folder.resolve())


@lru_cache(maxsize=2)
def _open(folder: Path) -> Encoder:
    if not folder.is_dir():
        raise DataError(
            f"there is no encoder folder {folder}; docs/routers.md says where all-MiniLM-L6-v2 is to be had"
        )
    config = read_object(folder / "config.json")
    if config.get("model_type") != "bert" or config.get("hidden_act") != "gelu":
        raise DataError(f"{folder}/config.json: model_type must be bert and hidden_act gelu, as in all-MiniLM-L6-v2")
    stored = open_weights(folder)
    try:
        tensors = {name.removeprefix("bert."): tensor for name, tensor in stored.items()}

        def read(name: str) -> Array:
            return tensors[name].read()

        def norm(name: str) -> tuple[Array, Array]:
            return read(f"{name}.weight"), read(f"{name}.bias")

        kinds = read("embeddings.token_type_embeddings.weight")
        return Encoder(
            _vocabulary(folder),
            read("embeddings.word_embeddings.weight"),
            # A single text is of type 0 throughout, so its type is part of its places.
            read("embeddings.position_embeddings.weight") + kinds[0],
            norm("embeddings.LayerNorm"),
            tuple(_layer(read, norm, f"encoder.layer.{i}") for i in range(int(str(config["num_hidden_layers"])))),
            int(str(config["num_attention_heads"])),
            _sha256(folder / "model.safetensors"),
        )
    except (KeyError, ValueError) as error:
        raise DataError(f"{folder} lacks a part of a BERT: {error}; get the folder again") from None


def _layer(read: Callable[[str], Array], norm: Callable[[str], tuple[Array, Array]], name: str) -> Layer:
    parts = [f"{name}.attention.self.{part}" for part in ("query", "key", "value")]
    return Layer(
        np.concatenate([read(f"{part}.weight") for part in parts]).T.copy(),
        np.concatenate([read(f"{part}.bias") for part in parts]),
        read(f"{name}.attention.output.dense.weight").T.copy(),
        read(f"{name}.attention.output.dense.bias"),
        norm(f"{name}.attention.output.LayerNorm"),
        read(f"{name}.intermediate.dense.weight").T.copy(),
        read(f"{name}.intermediate.dense.bias"),
        read(f"{name}.output.dense.weight").T.copy(),
        read(f"{name}.output.dense.bias"),
        norm(f"{name}.output.LayerNorm"),
    )


def _vocabulary(folder: Path) -> dict[str, int]:
    """Return the word pieces: those of vocab.txt, one a line."""
    file = folder / "vocab.txt"
    try:
        pieces = file.read_text(encoding="utf-8").split("\n")
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read ({error}); get the folder again") from None
    return {piece: index for index, piece in enumerate(pieces) if piece}


def _sha256(file: Path) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
