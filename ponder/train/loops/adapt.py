"""Puts an adapter on a model, and saves what was trained."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from ponder.train.loops.settings import SFT


def adapted(settings: SFT, model: PreTrainedModel) -> PreTrainedModel | PeftModel:
    """Return the model with a fresh adapter, its random part drawn from the seed; or itself, to be trained whole."""
    if not settings.lora:
        return model.requires_grad_(True)
    targets = "all-linear" if settings.targets == "all" else settings.targets.split(",")
    config = LoraConfig(r=settings.lora, lora_alpha=settings.alpha, target_modules=targets, task_type="CAUSAL_LM")
    torch.manual_seed(settings.seed)
    return get_peft_model(model, config)


def save(model: PreTrainedModel | PeftModel, tokenizer: PreTrainedTokenizerBase, out: Path) -> None:
    """Save the adapter or the whole model beside `out`'s files, each of which appears whole or not at all."""
    part = out / "part"
    model.save_pretrained(part)
    tokenizer.save_pretrained(part)
    (part / "README.md").unlink(missing_ok=True)
    config = part / "adapter_config.json"
    if config.exists():
        known = json.loads(config.read_text("utf-8"))
        known["target_modules"] = sorted(known["target_modules"])
        known["base_model_name_or_path"] = Path(known["base_model_name_or_path"]).name
        config.write_text(json.dumps(known, indent=2, sort_keys=True) + "\n", "utf-8")
    for file in sorted(part.iterdir()):
        os.replace(file, out / file.name)
    part.rmdir()
