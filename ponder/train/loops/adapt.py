"""Puts an adapter on a model, a fresh or a trained one, and saves what was trained."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ponder.core.errors import DataError, OptionError
from ponder.train.loops.finish import round_weights, usual_mode
from ponder.train.loops.settings import SFT
from ponder.weights.lora import CONFIG, read_config

Model: TypeAlias = PreTrainedModel | PeftModel

_KEPT = (
    "target_modules", "exclude_modules", "layers_to_transform", "layers_pattern", "fan_in_fan_out", "lora_dropout",
    "use_rslora",
)  # fmt: skip
"""Fields that an adapter goes on with, besides rank and alpha: where it lies, and how it is added and trained."""


def adapted(settings: SFT, model: PreTrainedModel, adapter: Path | None = None) -> Model:
    """Return the model with an adapter, or itself with float32 weights, to be trained whole.

    A fresh adapter's random part is drawn from the seed; `adapter` is the folder of one to continue, with its own
    settings. Raises `DataError` for one of another base or rank, and for what cannot be continued.
    """
    if not settings.lora:
        if adapter is not None:
            raise OptionError(
                f"{adapter} is an adapter, and all weights are to be trained; merge it into the model first"
            )
        return model.float().requires_grad_(True)
    known = None if adapter is None else _config(settings, adapter, model)
    torch.manual_seed(settings.seed)
    try:
        tuned = get_peft_model(model, _lora(settings, known, model))
    except ValueError as error:
        if adapter is not None:
            raise DataError(f"{adapter} does not suit the model: {error}") from None
        raise OptionError(f"targets = {settings.targets!r} does not suit the model: {error}") from None
    # PEFT looks on the hub for the base that is named, whenever it saves; `save` puts the name in.
    tuned.peft_config["default"].base_model_name_or_path = None
    if adapter is not None:
        _fill(tuned, adapter)
    return tuned


def fingerprint(model: PreTrainedModel) -> str:
    """Return a hash of all weights as bfloat16, so that it does not depend on the type that they were loaded in."""
    found = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        found.update(name.encode())
        found.update(tensor.detach().cpu().bfloat16().contiguous().view(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def save(model: Model, tokenizer: PreTrainedTokenizerBase, out: Path, base: str, dtype: str = "float32") -> None:
    """Save an adapter, which names its `base`, or a whole model into `out`: each file appears whole or not at all.

    Raises `DataError` for a full disk, and where `dtype` cannot hold a weight.
    """
    part = out / "part"
    try:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        (part / "README.md").unlink(missing_ok=True)
        if isinstance(model, PeftModel):
            _tidy(part / CONFIG, base)
        round_weights(part, dtype)
        usual_mode(part)
        for file in sorted(part.iterdir()):
            os.replace(file, out / file.name)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(f"the result cannot be written to {out} ({error}); make room and start again") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _config(settings: SFT, adapter: Path, model: PreTrainedModel) -> Mapping[str, object]:
    """Return the settings of an adapter to continue. Raises `DataError` where they cannot be kept."""
    known = read_config(adapter)
    if patterns := [name for name in ("alpha_pattern", "rank_pattern") if known.get(name)]:
        raise DataError(
            f"{adapter} has {' and '.join(patterns)}, and only adapters of one rank and one alpha are continued; "
            "merge it into its base, or train it with PEFT itself"
        )
    for field, wanted in (("r", settings.lora), ("lora_alpha", settings.alpha)):
        if known.get(field) != wanted:
            raise DataError(
                f"{adapter} has {field} = {known.get(field)}, and {wanted} is asked for; continue it with its own"
            )
    _check_targets(settings, adapter, known)
    record = adapter / "train.toml"
    if record.exists():
        trained = tomllib.loads(record.read_text("utf-8")).get("base", {})
        if trained.get("sha256") not in (None, fingerprint(model)):
            raise DataError(
                f"{adapter} was trained on other weights ({trained.get('name')}) than those of this model; "
                "give the model that it was trained on"
            )
    return known


def _check_targets(settings: SFT, adapter: Path, known: Mapping[str, object]) -> None:
    """Raise `DataError` unless the adapter names its layers, and those that are asked for."""
    targets = known.get("target_modules")
    if not targets or not isinstance(targets, str | list):
        raise DataError(f"{adapter}/{CONFIG} names no target_modules; give a folder that PEFT saved")
    asked = settings.targets.split(",")
    if settings.targets != "all" and (isinstance(targets, str) or {*asked} != {*targets}):
        shown = targets if isinstance(targets, str) else ",".join(sorted(targets))
        raise DataError(
            f"{adapter} adapts the layers {shown}, and {settings.targets} are asked for; leave --targets out"
        )


def _lora(settings: SFT, known: Mapping[str, object] | None, model: PreTrainedModel) -> LoraConfig:
    if known is None:
        targets = _linear(model) if settings.targets == "all" else settings.targets.split(",")
        kept: dict[str, object] = {"target_modules": targets}
    else:
        kept = {name: known[name] for name in _KEPT if name in known}
    return LoraConfig(r=settings.lora, lora_alpha=settings.alpha, task_type="CAUSAL_LM", **kept)


def _linear(model: PreTrainedModel) -> list[str]:
    """Return the last names of all linear layers but the head; PEFT's own word for them spells small models out."""
    head = model.get_output_embeddings()
    layers = (name for name, part in model.named_modules() if isinstance(part, torch.nn.Linear) and part is not head)
    return sorted({name.rpartition(".")[2] for name in layers})


def _fill(model: PeftModel, adapter: Path) -> None:
    """Put trained weights into a fresh adapter. Raises `DataError` unless every one has its place."""
    try:
        given = load_file(adapter / "adapter_model.safetensors")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{adapter}/adapter_model.safetensors cannot be read: {error}") from None
    wanted = get_peft_model_state_dict(model)
    for name in sorted({*given, *wanted}):
        here, there = wanted.get(name), given.get(name)
        if here is None or there is None or here.shape != there.shape:
            shapes = [("nothing" if one is None else str(tuple(one.shape))) for one in (there, here)]
            raise DataError(
                f"{adapter} is the adapter of another base: for {name} it holds {shapes[0]}, "
                f"and this model needs {shapes[1]}"
            )
    set_peft_model_state_dict(model, given)


def _tidy(config: Path, base: str) -> None:
    """Name the base, and write an adapter's configuration in the same order in every run."""
    known = json.loads(config.read_text("utf-8"))
    # PEFT keeps lists of names as sets.
    for name in ("target_modules", "exclude_modules"):
        if isinstance(known[name], list):
            known[name] = sorted(known[name])
    known["base_model_name_or_path"] = base
    config.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
