from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from support.llama_folder import LAYERS, SHAPES, edit_json, write_lora

from ponder.core.errors import DataError
from ponder.weights.lora import Pair, is_lora, read_lora, save_lora
from ponder.weights.tensors import open_weights, save_tensors

Q0 = "model.layers.0.self_attn.q_proj"


def scales(folder: Path) -> dict[str, float]:
    return {module: pair.scale for module, pair in read_lora(folder).pairs.items()}


def test_pairs_are_read_by_module(tmp_path: Path) -> None:
    lora = read_lora(write_lora(tmp_path, rank=4))
    assert len(lora.pairs) == LAYERS * len(SHAPES)
    pair = lora.pairs[Q0]
    assert (pair.a.shape, pair.b.shape, pair.rank, pair.shape) == ((4, 64), (64, 4), 4, SHAPES["self_attn.q_proj"])
    assert np.allclose(pair.delta(), 2 * pair.b @ pair.a)


@pytest.mark.parametrize(
    ("rank", "alpha", "stabilised", "scale"),
    [(32, 64, False, 2), (2, 8, False, 4), (4, 8, True, 4), (2, 8, True, 8 / math.sqrt(2))],
)
def test_scales_as_in_the_papers(tmp_path: Path, rank: int, alpha: float, stabilised: bool, scale: float) -> None:
    folder = write_lora(tmp_path, rank=rank, alpha=alpha, use_rslora=stabilised)
    assert list(scales(folder).values()) == pytest.approx([scale] * LAYERS * len(SHAPES))


def test_modules_may_have_an_alpha_of_their_own(tmp_path: Path) -> None:
    found = scales(
        write_lora(tmp_path, rank=4, alpha=8, alpha_pattern={"q_proj": 4, r".*\.1\.mlp\.up_proj": 2, "proj": 9})
    )
    assert found[Q0] == 1
    assert found["model.layers.1.mlp.up_proj"] == 0.5
    assert found["model.layers.0.mlp.up_proj"] == found["model.layers.0.self_attn.k_proj"] == 2


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    like = read_lora(write_lora(tmp_path / "one", task_type="CAUSAL_LM", rank_pattern={"x": 1}, use_rslora=True))
    (tmp_path / "two").mkdir()
    save_lora(tmp_path / "two", like, {Q0: Pair(like.pairs[Q0].a, like.pairs[Q0].b, 1.0)})
    again = read_lora(tmp_path / "two")
    assert list(again.pairs) == [Q0]
    assert again.pairs[Q0].scale == 1
    assert np.array_equal(again.pairs[Q0].a, like.pairs[Q0].a)
    assert again.config["target_modules"] == [Q0]
    assert (again.config["r"], again.config["rank_pattern"], again.config["task_type"]) == (4, {}, "CAUSAL_LM")
    assert is_lora(tmp_path / "two")
    assert not is_lora(tmp_path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("peft_type", "IA3", "adapter of type IA3"),
        ("use_dora", True, "trained with use_dora"),
        ("modules_to_save", ["lm_head"], "trained with modules_to_save"),
        ("trainable_token_indices", [3], "trained with trainable_token_indices"),
        ("lora_bias", True, "trained with lora_bias"),
        ("layer_replication", [[0, 2], [1, 2]], "trained with layer_replication"),
        ("alora_invocation_tokens", [5], "trained with alora_invocation_tokens"),
        ("use_something_new", {"x": 1}, "trained with use_something_new, which two factors a module cannot say; merge"),
        ("bias", "all", "trained with bias"),
        ("init_lora_weights", "pissa", "init_lora_weights = 'pissa', which changes the base's weights"),
        ("lora_alpha", None, "lora_alpha = None in .* is no positive number"),
        ("lora_alpha", True, "lora_alpha = True in .* is no positive number"),
        ("r", 0, "r = 0 in .* is no positive number"),
        ("r", "8", "r = '8' in .* is no positive number"),
    ],
)
def test_what_two_factors_cannot_say_is_refused(tmp_path: Path, field: str, value: object, message: str) -> None:
    edit_json(write_lora(tmp_path) / "adapter_config.json", **{field: value})
    with pytest.raises(DataError, match=message):
        read_lora(tmp_path)


@pytest.mark.parametrize(
    ("drop", "add", "message"),
    [
        ("", "base_model.model.lm_head.weight", "lm_head.weight is no LoRA factor"),
        ("", "base_model.model.model.embed_tokens.lora_embedding_A", "lora_embedding_A is no LoRA factor"),
        (f"{Q0}.lora_A", "", "factors of .*q_proj do not fit"),
        ("lora", "", "holds no LoRA factors"),
    ],
)
def test_other_tensors_are_refused(tmp_path: Path, drop: str, add: str, message: str) -> None:
    file = write_lora(tmp_path) / "adapter_model.safetensors"
    tensors = {name: tensor.read() for name, tensor in open_weights(tmp_path, "adapter_model").items()}
    kept = {name: value for name, value in tensors.items() if not drop or drop not in name}
    save_tensors(file, kept | ({add: np.ones((2, 2), np.float32)} if add else {}))
    with pytest.raises(DataError, match=message):
        read_lora(tmp_path)


def test_factors_of_different_ranks_are_refused(tmp_path: Path) -> None:
    file = write_lora(tmp_path) / "adapter_model.safetensors"
    tensors = {name: tensor.read() for name, tensor in open_weights(tmp_path, "adapter_model").items()}
    name = f"base_model.model.{Q0}.lora_A.weight"
    save_tensors(file, tensors | {name: tensors[name][:3]})
    with pytest.raises(DataError, match="q_proj do not fit each other"):
        read_lora(tmp_path)


def test_a_rank_that_is_not_that_of_the_factors_is_refused(tmp_path: Path) -> None:
    """With the settings of another training, all of it would be added at a wrong scale."""
    edit_json(write_lora(tmp_path, rank=4) / "adapter_config.json", r=8)
    with pytest.raises(DataError, match=r"r = 8 in .*A \(4, 64\) and B \(64, 4\); take the settings and the weights"):
        read_lora(tmp_path)


def test_modules_may_have_a_rank_of_their_own(tmp_path: Path) -> None:
    write_lora(tmp_path, rank=4, alpha=8, modules=("self_attn.q_proj",), layers=1)
    edit_json(tmp_path / "adapter_config.json", r=16, rank_pattern={r"layers\.0\.self_attn\.q_proj": 4})
    assert scales(tmp_path) == {Q0: 2}


def test_config_is_json_that_peft_could_have_written(tmp_path: Path) -> None:
    like = read_lora(write_lora(tmp_path / "one"))
    (tmp_path / "two").mkdir()
    save_lora(tmp_path / "two", like, dict(like.pairs))
    written = json.loads((tmp_path / "two" / "adapter_config.json").read_text())
    assert written.keys() >= json.loads((tmp_path / "one" / "adapter_config.json").read_text()).keys()
