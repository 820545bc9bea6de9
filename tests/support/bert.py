"""A BERT of a few thousand random weights, as a transformers folder: everything that the real one has, and small."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from ponder.weights.tensors import save_tensors

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    *"abcdefghijklmnopqrstuvwxyz0123456789+-=.?",
    *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
]
WIDTH, INNER, LAYERS, HEADS, PLACES = 16, 32, 2, 4, 32


def tiny_bert(folder: Path, seed: int = 0) -> Path:
    """Write the folder and return it."""
    dice = np.random.default_rng(seed)

    def some(*shape: int) -> np.ndarray:
        return dice.normal(0, 0.3, shape).astype(np.float32)

    tensors = {
        "embeddings.word_embeddings.weight": some(len(PIECES), WIDTH),
        "embeddings.position_embeddings.weight": some(PLACES, WIDTH),
        "embeddings.token_type_embeddings.weight": some(2, WIDTH),
        "embeddings.LayerNorm.weight": 1 + some(WIDTH),
        "embeddings.LayerNorm.bias": some(WIDTH),
    }
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        for part in ("query", "key", "value"):
            tensors[f"{name}.attention.self.{part}.weight"] = some(WIDTH, WIDTH)
            tensors[f"{name}.attention.self.{part}.bias"] = some(WIDTH)
        for part, rows, columns in (
            ("attention.output", WIDTH, WIDTH),
            ("intermediate", INNER, WIDTH),
            ("output", WIDTH, INNER),
        ):
            tensors[f"{name}.{part}.dense.weight"] = some(rows, columns)
            tensors[f"{name}.{part}.dense.bias"] = some(rows)
        for part in ("attention.output", "output"):
            tensors[f"{name}.{part}.LayerNorm.weight"] = 1 + some(WIDTH)
            tensors[f"{name}.{part}.LayerNorm.bias"] = some(WIDTH)
    folder.mkdir(parents=True)
    save_tensors(folder / "model.safetensors", tensors)
    config = {
        "model_type": "bert", "hidden_act": "gelu", "hidden_size": WIDTH, "intermediate_size": INNER,
        "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "max_position_embeddings": PLACES,
        "vocab_size": len(PIECES), "type_vocab_size": 2, "layer_norm_eps": 1e-12,
    }  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "vocab.txt").write_text("\n".join(PIECES) + "\n", encoding="utf-8")
    return folder
