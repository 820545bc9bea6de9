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
_FACTOR = re.compile(r"(.+)\.lora_([AB])\.weight")
_READ = {"peft_type", "r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern", "bias", "init_lora_weights"}
_NO_MATTER = {
    "auto_mapping", "base_model_name_or_path", "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode",
    "layers_pattern", "layers_to_transform", "lora_dropout", "megatron_core", "peft_version", "qalora_group_size",
    "revision", "target_modules", "task_type",
}  # fmt: skip
"""Fields of the configuration that change nothing once the factors are there."""
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to begin a training that leave the base as it is; PiSSA, OLoRA and their like change its weights too."""


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
    """Read an adapter whole. Raises `DataError` for one that is broken, and for what `read_config` refuses."""
    config = read_config(folder)
    factors: dict[str, dict[str, Array]] = {}
    for name, tensor in open_weights(folder, "adapter_model").items():
        match = _FACTOR.fullmatch(name.removeprefix(_PREFIX))
        if match is None or len(tensor.shape) != 2:
            raise DataError(
                f"{folder}: {name} is no LoRA factor of a linear layer; train the adapter on linear layers alone"
            )
        factors.setdefault(match[1], {})[match[2]] = tensor.read()
    if not factors:
        raise DataError(f"{folder} holds no LoRA factors; save the adapter again")
    return Lora(folder, config, {module: _pair(folder, config, module, both) for module, both in factors.items()})


def read_config(folder: Path) -> dict[str, object]:
    """Return an adapter's settings. Raises `DataError` for what two factors a module cannot say.

    That is DoRA, trained biases, whole modules, and any field that is not known here: what is left out of the sum would
    change replies without a word.
    """
    config = read_object(folder / CONFIG)
    if config.get("peft_type") != "LORA":
        raise DataError(f"{folder} is an adapter of type {config.get('peft_type')}; only LORA is understood")
    start = config.get("init_lora_weights")
    if start not in _STARTS:
        raise DataError(
            f"{folder} was begun with init_lora_weights = {start!r}, which changes the base's weights too; save it "
            "anew with path_initial_model_for_weight_conversion"
        )
    more = {name for name, value in config.items() if value and name not in _READ | _NO_MATTER}
    if config.get("bias", "none") != "none":
        more.add("bias")
    if more:
        raise DataError(
            f"{folder} was trained with {', '.join(sorted(more))}, which two factors a module cannot say; merge it "
            "into its base with PEFT, or train it without"
        )
    return config


def _pair(folder: Path, config: Mapping[str, object], module: str, both: Mapping[str, Array]) -> Pair:
    """Return a module's pair. Raises `DataError` unless it is whole and of the rank that the settings say."""
    if both.keys() != {"A", "B"} or both["A"].shape[0] != both["B"].shape[1]:
        raise DataError(f"{folder}: the factors of {module} do not fit each other; save the adapter again")
    rank = _number(folder, config, "r", "rank_pattern", module)
    alpha = _number(folder, config, "lora_alpha", "alpha_pattern", module)
    a, b = both["A"], both["B"]
    if a.shape[0] != rank:
        raise DataError(
            f"{folder}: r = {rank:g} in {CONFIG}, but the factors of {module} are A {a.shape} and B {b.shape}; take "
            "the settings and the weights of one and the same training"
        )
    # Rank-stabilised LoRA (2312.03732) grows with the root.
    return Pair(a, b, alpha / (math.sqrt(rank) if config.get("use_rslora") else rank))


def _number(folder: Path, config: Mapping[str, object], field: str, pattern: str, module: str) -> float:
    """Return a module's rank or alpha: that of the first pattern that its name fits, else that of all."""
    patterns = config.get(pattern) or {}
    value = config.get(field)
    if isinstance(patterns, dict):
        matches = (own for key, own in patterns.items() if re.match(rf"(.*\.)?({key})$", module))
        value = next(matches, value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise DataError(f"{folder}: {field} = {value!r} in {CONFIG} is no positive number; save the adapter again")
    return value


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
