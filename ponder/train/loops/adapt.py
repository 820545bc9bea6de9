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
from ponder.train.loops.settings import SFT

Model: TypeAlias = PreTrainedModel | PeftModel


def adapted(settings: SFT, model: PreTrainedModel, adapter: Path | None = None) -> Model:
    """Return the model with an adapter, or itself with float32 weights, to be trained whole.

    A fresh adapter's random part is drawn from the seed; `adapter` is the folder of one to continue. Raises
    `DataError` for an adapter of another base or rank.
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


def save(model: Model, tokenizer: PreTrainedTokenizerBase, out: Path, base: str) -> None:
    """Save an adapter, which names its `base`, or a whole model into `out`: each file appears whole or not at all."""
    part = out / "part"
    try:
        model.save_pretrained(part)
        tokenizer.save_pretrained(part)
        (part / "README.md").unlink(missing_ok=True)
        if isinstance(model, PeftModel):
            _tidy(part / "adapter_config.json", base)
        for file in sorted(part.iterdir()):
            os.replace(file, out / file.name)
    except (OSError, RuntimeError, SafetensorError) as error:
        raise DataError(f"the result cannot be written to {out} ({error}); make room and start again") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read_adapter(adapter: Path) -> Mapping[str, object]:
    """Return the configuration of a LoRA adapter. Raises `DataError` for a folder that is none."""
    try:
        known = json.loads((adapter / "adapter_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        raise DataError(
            f"{adapter} holds no adapter_config.json that can be read; give a folder that PEFT saved"
        ) from None
    if not isinstance(known, dict) or known.get("peft_type") != "LORA":
        raise DataError(f"{adapter} is no LoRA adapter; only those can be trained on")
    return known


def _config(settings: SFT, adapter: Path, model: PreTrainedModel) -> Mapping[str, object]:
    known = read_adapter(adapter)
    for field, wanted in (("r", settings.lora), ("lora_alpha", settings.alpha)):
        if known.get(field) != wanted:
            raise DataError(
                f"{adapter} has {field} = {known.get(field)}, and {wanted} is asked for; continue it with its own"
            )
    record = adapter / "train.toml"
    if record.exists():
        trained = tomllib.loads(record.read_text("utf-8")).get("base", {})
        if trained.get("sha256") not in (None, fingerprint(model)):
            raise DataError(
                f"{adapter} was trained on other weights ({trained.get('name')}) than those of this model; "
                "give the model that it was trained on"
            )
    return known


def _lora(settings: SFT, known: Mapping[str, object] | None, model: PreTrainedModel) -> LoraConfig:
    targets = _linear(model) if settings.targets == "all" else settings.targets.split(",")
    return LoraConfig(
        r=settings.lora,
        lora_alpha=settings.alpha,
        target_modules=targets if known is None else known["target_modules"],
        task_type="CAUSAL_LM",
    )


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
    known["target_modules"] = sorted(known["target_modules"])
    known["base_model_name_or_path"] = base
    config.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
