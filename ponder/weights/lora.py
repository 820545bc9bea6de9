"""LoRA adapters as PEFT saves them: pairs of low-rank factors, each with the scale it is added at (2106.09685)."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ponder.core.errors import DataError
from ponder.weights.tensors import Array, open_weights, read_object, save_tensors

CONFIG = "adapter_config.json"
_PREFIX = "base_model.model."
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to begin a training that leave the base as it is."""
_FACTOR = re.compile(r"(.+)\.lora_([AB])\.weight")


@dataclass(frozen=True, slots=True)
class Pair:
    """What is added to one weight: `scale` * `b` @ `a`, with `a` (rank, in) and `b` (out, rank)."""

    a: Array
    b: Array
    scale: float

    @property
    def rank(self) -> int:
        """How many columns and rows the factors share."""
        return int(self.a.shape[0])

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weight that it is added to: (out, in)."""
        return int(self.b.shape[0]), int(self.a.shape[1])

    def delta(self) -> Array:
        """Return the sum's whole second term, (out, in)."""
        product: Array = np.matmul(self.b * np.float32(self.scale), self.a, dtype=np.float32)
        return product


@dataclass(frozen=True, slots=True)
class Lora:
    """An adapter: its folder, its settings, and its pairs by module (`model.layers.0.self_attn.q_proj`)."""

    folder: Path
    config: Mapping[str, object]
    pairs: Mapping[str, Pair]


def is_lora(folder: Path) -> bool:
    """Whether a folder is one that PEFT saved."""
    return (folder / CONFIG).is_file()


def read_lora(folder: Path) -> Lora:
    """Read an adapter whole. Raises `DataError` for what is not LoRA alone (DoRA, trained biases, whole modules)."""
    config = read_object(folder / CONFIG)
    _check(folder, config)
    factors: dict[str, dict[str, Array]] = {}
    for name, tensor in open_weights(folder, "adapter_model").items():
        match = _FACTOR.fullmatch(name.removeprefix(_PREFIX))
        if match is None or len(tensor.shape) != 2:
            raise DataError(
                f"{folder}: {name} is no LoRA factor of a linear layer; train the adapter on linear layers alone"
            )
        factors.setdefault(match[1], {})[match[2]] = tensor.read()
    pairs = {}
    for module, parts in factors.items():
        if parts.keys() != {"A", "B"} or parts["A"].shape[0] != parts["B"].shape[1]:
            raise DataError(f"{folder}: the factors of {module} do not fit each other; save the adapter again")
        pairs[module] = Pair(parts["A"], parts["B"], _scale(config, module, parts["A"].shape[0]))
    if not pairs:
        raise DataError(f"{folder} holds no LoRA factors; save the adapter again")
    return Lora(folder, config, pairs)


def _check(folder: Path, config: Mapping[str, object]) -> None:
    kind = config.get("peft_type")
    if kind != "LORA":
        raise DataError(f"{folder} is an adapter of type {kind}; only LORA is understood")
    for field in ("use_dora", "fan_in_fan_out", "modules_to_save", "trainable_token_indices", "lora_bias"):
        if config.get(field):
            raise DataError(
                f"{folder} was trained with {field}, which a product of two factors cannot say; leave it out"
            )
    if config.get("init_lora_weights", True) not in _STARTS:
        start = config["init_lora_weights"]
        raise DataError(f"{folder} began as {start}, which changes its base too; save it as plain LoRA (PEFT can)")
    if config.get("bias", "none") != "none":
        raise DataError(f"{folder} was trained with bias = {config['bias']!r}; train it with bias = 'none'")


def _scale(config: Mapping[str, object], module: str, rank: int) -> float:
    """Return alpha / rank, or alpha / sqrt(rank) for rank-stabilised LoRA (2312.03732)."""
    alpha = config.get("lora_alpha")
    patterns = config.get("alpha_pattern") or {}
    if isinstance(patterns, dict):
        matches = (value for key, value in patterns.items() if re.match(rf"(.*\.)?({key})$", module))
        alpha = next(matches, alpha)
    if not isinstance(alpha, int | float):
        raise DataError(f"the adapter's lora_alpha is {alpha!r}, which is no number; save the adapter again")
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def save_lora(folder: Path, like: Lora, pairs: Mapping[str, Pair]) -> None:
    """Write pairs of one common rank and a scale of 1 as a PEFT adapter, in float32, other settings like `like`'s."""
    rank = next(iter(pairs.values())).rank
    config = dict(like.config) | {
        "r": rank,
        "lora_alpha": rank,
        # Modules by their full names: the last parts alone would take in layers that have no pair.
        "target_modules": sorted(pairs),
        "exclude_modules": None,
        "layers_to_transform": None,
        "layers_pattern": None,
        "rank_pattern": {},
        "alpha_pattern": {},
        "use_rslora": False,
        "inference_mode": True,
    }
    tensors: dict[str, Array] = {}
    for module, pair in sorted(pairs.items()):
        tensors[f"{_PREFIX}{module}.lora_A.weight"] = pair.a
        tensors[f"{_PREFIX}{module}.lora_B.weight"] = pair.b
    save_tensors(folder / "adapter_model.safetensors", tensors)
    (folder / CONFIG).write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
