"""LoRA folders for the tiny model, written by PEFT itself, with weights large enough to change what it says."""

from __future__ import annotations

import json
from pathlib import Path

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def save_lora(base: Path, folder: Path, *, seed: int = 0, rank: int = 4, alpha: int = 8, **more: object) -> Path:
    """Write an adapter of the model in `base`; B is random too, as after a training."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    settings = {"target_modules": list(ALL), "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": alpha} | more
    wrapped = get_peft_model(model, LoraConfig(**settings))
    generator = torch.Generator().manual_seed(seed)
    for name, weight in wrapped.named_parameters():
        if "lora_" in name and weight.dim() == 2:
            weight.data = torch.randn(weight.shape, generator=generator) * 0.2
    wrapped.save_pretrained(folder)
    return folder


def edit_config(folder: Path, **changes: object) -> None:
    """Change fields of an adapter's configuration."""
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
