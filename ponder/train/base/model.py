"""A Llama with random weights, and how it is kept: in half precision, to be computed in full."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from ponder.train.base.recipe import Recipe
from ponder.train.loops.finish import usual_mode


def fresh_model(recipe: Recipe, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """Return a model of the recipe's shape; its weights are drawn from the recipe's seed.

    Layers begin by adding nothing: the projections that write into the residual stream are zero. So narrow a stream
    is else full of noise, and heads that copy, on which every chain depends, take several times as long to form.
    """
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.hidden,
        intermediate_size=recipe.inner,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        num_key_value_heads=recipe.kv_heads,
        head_dim=recipe.hidden // recipe.heads,
        max_position_embeddings=recipe.context,
        tie_word_embeddings=True,
        initializer_range=recipe.hidden**-0.5,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    torch.manual_seed(recipe.seed)
    model = LlamaForCausalLM(config)
    for layer in model.model.layers:
        torch.nn.init.zeros_(layer.self_attn.o_proj.weight)
        torch.nn.init.zeros_(layer.mlp.down_proj.weight)
    return model


def save_rounded(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Save a model and its tokenizer as a transformers folder.

    Weights are rounded to float16, which halves the folder; the configuration says float32, so that whoever loads
    them computes in full precision and GGUF files of float16 hold the very same numbers.
    """
    model.half().save_pretrained(folder)
    usual_mode(folder)
    tokenizer.save_pretrained(folder)
    _patch(folder / "config.json", {"dtype": "float32"})
    # The name that every version of transformers knows this kind of tokenizer by, and nothing of where it came from.
    plain = {"tokenizer_class": "PreTrainedTokenizerFast", "is_local": None, "local_files_only": None}
    _patch(folder / "tokenizer_config.json", plain)


def _patch(file: Path, changes: Mapping[str, str | None]) -> None:
    """Set fields of a JSON file; None removes one."""
    known = {**json.loads(file.read_text("utf-8")), **changes}
    kept = {field: value for field, value in known.items() if value is not None or field not in changes}
    file.write_text(json.dumps(kept, indent=2, sort_keys=True, ensure_ascii=False) + "\n", "utf-8")
