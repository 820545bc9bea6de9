"""Reads LoRA folders as PEFT writes them, and takes none that does not fit the model to the last matrix."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ponder.core.errors import DataError
from ponder.engines.torch.adapters import Lora

_KEY = re.compile(r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])\.weight")
_READ = {"r", "lora_alpha", "use_rslora", "target_modules", "peft_type", "bias", "init_lora_weights"}
_NO_MATTER = {
    "auto_mapping", "base_model_name_or_path", "eva_config", "exclude_modules", "fan_in_fan_out", "inference_mode",
    "layers_pattern", "layers_to_transform", "lora_dropout", "megatron_core", "peft_version", "qalora_group_size",
    "revision", "task_type",
}  # fmt: skip
"""Fields of the configuration that change nothing once the weights are there."""
_STARTS = (True, False, None, "gaussian", "eva", "orthogonal")
"""Ways to begin a training that leave the base as it is; PiSSA, OLoRA and their like change its weights too."""


def read_adapter(folder: Path, model: torch.nn.Module) -> Lora:
    """Return the adapter of a folder, in the model's type and on its device.

    Raises `DataError` for a folder that is not whole, for kinds of adapters other than plain LoRA, and for one that was
    trained on another base: what proves the base is that every module and every shape fits, not its name.
    """
    config = _config(folder)
    rank, alpha = _number(folder, config, "r"), _number(folder, config, "lora_alpha")
    halves = _halves(folder, _tensors(folder))
    layers = {name: module for name, module in model.named_modules() if name in halves["A"] | halves["B"]}
    _check_modules(folder, config, halves, model)
    for name, layer in layers.items():
        _check_shapes(folder, name, layer, (halves["A"][name], halves["B"][name]), int(rank))
    like = next(model.parameters())
    pairs = {name: (halves["A"][name].to(like), halves["B"][name].to(like)) for name in layers}
    return Lora(alpha / (math.sqrt(rank) if config.get("use_rslora") else rank), pairs)


def _config(folder: Path) -> dict[str, object]:
    """Return the configuration of plain LoRA. Raises `DataError` for anything that this engine would leave out."""
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"{folder} holds no adapter_config.json; give the folder of a PEFT adapter") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read ({error}); save the adapter anew") from None
    if not isinstance(config, dict):
        raise DataError(f"{path} is no configuration of PEFT; save the adapter anew")
    if config.get("peft_type") != "LORA":
        raise DataError(f"{folder} is an adapter of type {config.get('peft_type')}, and only LORA can be applied here")
    merge = "merge the adapter into its base with PEFT and open that folder"
    if config.get("bias", "none") != "none":
        raise DataError(f"{folder} trains biases (bias = {config['bias']!r}), which cannot be scaled here; {merge}")
    start = config.get("init_lora_weights")
    if start not in _STARTS:
        raise DataError(
            f"{folder} was begun with init_lora_weights = {start!r}, which changes the base's weights too; save it "
            "anew with path_initial_model_for_weight_conversion"
        )
    more = sorted(name for name, value in config.items() if value and name not in _READ | _NO_MATTER)
    if more:
        raise DataError(f"{folder} uses {', '.join(more)}, which this engine cannot apply; {merge}")
    return config


def _number(folder: Path, config: Mapping[str, object], field: str) -> float:
    value = config.get(field)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise DataError(f"{folder}: {field} = {value!r} in adapter_config.json is no positive number; save it anew")
    return value


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / "adapter_model.safetensors"
    if not path.is_file():
        if (folder / "adapter_model.bin").is_file():
            raise DataError(
                f"{folder} holds its weights as .bin, a format that can run code when it is read; save the adapter "
                "anew with save_pretrained, which writes safetensors"
            )
        raise DataError(f"{folder} holds no adapter_model.safetensors; give the folder of a PEFT adapter")
    try:
        tensors: dict[str, torch.Tensor] = load_file(path)
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path} is broken ({error}); get the adapter again") from None
    return tensors


def _halves(folder: Path, tensors: Mapping[str, torch.Tensor]) -> dict[str, dict[str, torch.Tensor]]:
    """Return the matrices by side and module. Raises `DataError` for half a pair and for anything else."""
    halves: dict[str, dict[str, torch.Tensor]] = {"A": {}, "B": {}}
    for key, tensor in tensors.items():
        found = _KEY.fullmatch(key)
        if found is None or tensor.dim() != 2:
            raise DataError(
                f"{folder} holds {key} of shape {tuple(tensor.shape)}, which is no matrix of plain LoRA; merge the "
                "adapter into its base with PEFT and open that folder"
            )
        halves[found["side"]][found["module"]] = tensor
    odd = sorted(halves["A"].keys() ^ halves["B"].keys())
    if odd or not tensors:
        what = f"only one of the two matrices of {odd[0]}" if odd else "no weights"
        raise DataError(f"{folder} holds {what}; get the adapter again")
    return halves


def _check_modules(
    folder: Path, config: Mapping[str, object], halves: Mapping[str, Mapping[str, object]], model: torch.nn.Module
) -> None:
    """Raise `DataError` unless the adapter has a pair for exactly those modules that its configuration names."""
    known, held = {name for name, _ in model.named_modules()}, set(halves["A"])
    strange = sorted(held - known)
    if strange:
        raise DataError(
            f"{folder} changes {strange[0]} ({len(strange)} of its {len(held)} modules are unknown here), which this "
            "model does not have: the adapter was trained on another base; open that one"
        )
    targets = config.get("target_modules")
    if not isinstance(targets, list) or config.get("layers_to_transform") or config.get("exclude_modules"):
        return
    named = {name for name in known if _matches(name, targets)}
    absent = sorted(target for target in targets if not any(_matches(name, [target]) for name in known))
    if absent:
        raise DataError(
            f"{folder} names the target module {absent[0]!r}, which this model does not have: the adapter was trained "
            "on another base; open that one"
        )
    if named != held:
        one = min(named ^ held)
        what = "has no weights for" if one in named else "has weights, but no target module, for"
        raise DataError(
            f"{folder} {what} {one}: the adapter is not whole, or was trained on a base of {len(held)} such modules "
            f"and not of {len(named)}; open that one"
        )


def _matches(name: str, targets: Iterable[object]) -> bool:
    """Say whether a module is meant, as PEFT reads a list of target modules."""
    return any(name == target or name.endswith(f".{target}") for target in targets)


def _check_shapes(
    folder: Path, name: str, layer: torch.nn.Module, pair: tuple[torch.Tensor, torch.Tensor], rank: int
) -> None:
    """Raise `DataError` unless both matrices have the configuration's rank and fit the layer."""
    weight = layer.get_parameter("weight") if "weight" in dict(layer.named_parameters(recurse=False)) else None
    if weight is None or weight.dim() != 2 or isinstance(layer, torch.nn.Embedding):
        raise DataError(f"{folder} changes {name}, a {type(layer).__name__}; only linear layers can be changed here")
    # The linear layers of GPT-2 keep their weights the other way round.
    outputs, inputs = weight.shape if isinstance(layer, torch.nn.Linear) else reversed(weight.shape)
    low, high = pair
    if low.shape[0] != rank or high.shape[1] != rank:
        raise DataError(
            f"{folder}: r = {rank} in adapter_config.json, but the matrices of {name} are A {_shape(low)} and B "
            f"{_shape(high)}; take the configuration and the weights of one and the same training"
        )
    if low.shape[1] != inputs or high.shape[0] != outputs:
        raise DataError(
            f"{folder}: {name} takes {inputs} inputs to {outputs} outputs here, but the adapter's A is {_shape(low)} "
            f"and its B {_shape(high)}: it was trained on another base; open that one"
        )


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape))
