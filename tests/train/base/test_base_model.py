"""Weights are drawn from the seed, kept in half precision, and computed in full."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ponder.train.base.recipe import SIZES, Recipe

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from safetensors.torch import load_file  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from ponder.train.base.model import fresh_model, save_rounded  # noqa: E402

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast


def test_its_shape_is_the_recipe_s(tokenizer: PreTrainedTokenizerFast, mini: Recipe) -> None:
    config = fresh_model(mini, tokenizer).config
    assert (config.hidden_size, config.num_hidden_layers, config.intermediate_size) == (32, 1, 48)
    assert (config.num_attention_heads, config.num_key_value_heads, config.head_dim) == (2, 1, 16)
    assert (config.vocab_size, config.max_position_embeddings) == (400, 256)
    assert (config.eos_token_id, config.pad_token_id) == (tokenizer.eos_token_id, tokenizer.pad_token_id)


@pytest.mark.parametrize("size", SIZES)
def test_sizes_are_of_half_a_million_to_five_million_weights(tokenizer: PreTrainedTokenizerFast, size: str) -> None:
    recipe = SIZES[size]
    weights = sum(part.numel() for part in fresh_model(recipe, tokenizer).parameters())
    # This tokenizer is smaller than the recipe's own.
    assert 500_000 <= weights + (recipe.vocabulary - len(tokenizer)) * recipe.hidden <= 5_000_000


def test_the_seed_draws_the_weights(tokenizer: PreTrainedTokenizerFast, mini: Recipe) -> None:
    one, same, other = (
        fresh_model(recipe, tokenizer).model.embed_tokens.weight for recipe in (mini, mini, replace(mini, seed=9))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_folder_holds_half_precision_and_loads_in_full(
    tokenizer: PreTrainedTokenizerFast, mini: Recipe, tmp_path: Path
) -> None:
    model = fresh_model(mini, tokenizer)
    before = model.model.embed_tokens.weight.detach().clone()
    save_rounded(model, tokenizer, tmp_path)
    stored = load_file(tmp_path / "model.safetensors")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    assert loaded.dtype == torch.float32
    assert torch.equal(loaded.model.embed_tokens.weight, before.half().float())
    assert json.loads((tmp_path / "tokenizer_config.json").read_text())["tokenizer_class"] == "PreTrainedTokenizerFast"


def test_rounding_twice_changes_nothing(tokenizer: PreTrainedTokenizerFast, mini: Recipe, tmp_path: Path) -> None:
    save_rounded(fresh_model(mini, tokenizer), tokenizer, tmp_path)
    files = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path, local_files_only=True)
    save_rounded(loaded, AutoTokenizer.from_pretrained(tmp_path, local_files_only=True), tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == files
