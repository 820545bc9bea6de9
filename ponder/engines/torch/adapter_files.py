"""Turns LoRA folders as PEFT writes them into what the engine runs, and takes none that does not fit the model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch

from ponder.core.errors import DataError
from ponder.engines.torch.adapters import Lora
from ponder.weights.lora import Pair, read_lora
from ponder.weights.tensors import Array


def read_adapter(folder: Path, model: torch.nn.Module) -> Lora:
    """Return the adapter of a folder, in the model's type and on its device.

    Raises `DataError` for a folder that is not whole, for kinds of adapters other than plain LoRA, and for one that was
    trained on another base: what proves the base is that every module and every shape fits, not its name.
    """
    lora = read_lora(folder)
    _check_modules(folder, lora.config, set(lora.pairs), model)
    for name, pair in lora.pairs.items():
        _check_shapes(folder, name, model.get_submodule(name), pair)
    scales = {pair.scale for pair in lora.pairs.values()}
    if len(scales) > 1:
        raise DataError(
            f"{folder} scales its modules differently (rank_pattern, alpha_pattern), which this engine cannot apply; "
            "merge it into its base: ponder merge BASE ADAPTER --weight 1 --out NEW"
        )
    like = next(model.parameters())
    pairs = {name: (_like(pair.a, like), _like(pair.b, like)) for name, pair in lora.pairs.items()}
    return Lora(scales.pop(), pairs)


def _like(factor: Array, like: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(factor).to(like)


def _check_modules(folder: Path, config: Mapping[str, object], held: set[str], model: torch.nn.Module) -> None:
    """Raise `DataError` unless the adapter has a pair for exactly those modules that its configuration names."""
    known = {name for name, _ in model.named_modules()}
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


def _check_shapes(folder: Path, name: str, layer: torch.nn.Module, pair: Pair) -> None:
    """Raise `DataError` unless both factors fit the layer."""
    weight = layer.get_parameter("weight") if "weight" in dict(layer.named_parameters(recurse=False)) else None
    if weight is None or weight.dim() != 2 or isinstance(layer, torch.nn.Embedding):
        raise DataError(f"{folder} changes {name}, a {type(layer).__name__}; only linear layers can be changed here")
    # The linear layers of GPT-2 keep their weights the other way round.
    outputs, inputs = weight.shape if isinstance(layer, torch.nn.Linear) else reversed(weight.shape)
    if pair.shape != (outputs, inputs):
        raise DataError(
            f"{folder}: {name} takes {inputs} inputs to {outputs} outputs here, but the adapter's A is {pair.a.shape} "
            f"and its B {pair.b.shape}: it was trained on another base; open that one"
        )
