"""What saved weights still need before they are handed out: a smaller type, and the mode that other files have."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file

from ponder.core.errors import DataError

_INDEX = "model.safetensors.index.json"


def round_weights(folder: Path, dtype: str) -> None:
    """Round the float32 weights of an adapter or a model to `dtype`, and name that type in the model's config.json.

    Raises `DataError` where a weight is beyond the range of the type.
    """
    wanted: torch.dtype = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}[dtype]
    if wanted == torch.float32:
        return
    size = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, "pt") as source:
            metadata = source.metadata()
            rounded = {name: _round(name, source.get_tensor(name), wanted) for name in source.keys()}  # noqa: SIM118
        size += sum(weight.nbytes for weight in rounded.values())
        file.unlink()
        save_file(rounded, file, metadata)
    for config in folder.glob("config.json"):
        config.write_text(
            json.dumps(json.loads(config.read_text("utf-8")) | {"dtype": dtype}, indent=2) + "\n", "utf-8"
        )
    for index in folder.glob(_INDEX):
        known = json.loads(index.read_text("utf-8"))
        known["metadata"]["total_size"] = size
        index.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")


def usual_mode(folder: Path) -> None:
    """Give weights the mode that new files get; safetensors lets nobody but their owner read them."""
    probe = folder / ".mode"
    probe.touch()
    mode = probe.stat().st_mode
    probe.unlink()
    for file in folder.glob("*.safetensors"):
        file.chmod(mode)


def _round(name: str, weight: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    if weight.dtype != torch.float32:
        return weight
    found = weight.to(dtype)
    if not torch.isfinite(found).all():
        raise DataError(
            f"{name} has values beyond the range of {str(dtype).removeprefix('torch.')}; run the same command again "
            "with another --save-as: the last checkpoint is kept"
        )
    return found
