"""Adapter folders that are not whole, not plain LoRA, or of another base: each is one clear sentence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from lora_folders import edit_config, save_lora

from ponder.core.errors import DataError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
peft = pytest.importorskip("peft")
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")]

from safetensors.torch import load_file, save_file  # noqa: E402

from ponder.engines.torch.adapter_files import read_adapter  # noqa: E402

SMALL = {"vocab_size": 322, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2}
HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}
Q = "base_model.model.model.layers.1.self_attn.q_proj"


@pytest.fixture(scope="module")
def model(folder: Path) -> torch.nn.Module:
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)


@pytest.fixture(scope="module")
def saved(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_lora(folder, tmp_path_factory.mktemp("lora") / "a", target_modules=["q_proj", "v_proj"])


@pytest.fixture
def copy(saved: Path, tmp_path: Path) -> Path:
    return shutil.copytree(saved, tmp_path / "copy")


def other_base(**changes: int) -> torch.nn.Module:
    config = transformers.LlamaConfig(**{**SMALL, **HEADS, **changes})
    return transformers.LlamaForCausalLM(config)


def edit_weights(folder: Path, **changes: object) -> None:
    """Put tensors in by name, or take them out with None."""
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    for name, tensor in changes.items():
        weights.pop(name, None)
        if tensor is not None:
            weights[name] = tensor
    save_file(weights, path)


def test_a_whole_folder_is_read_in_the_models_type(saved: Path, model: torch.nn.Module) -> None:
    lora = read_adapter(saved, model)
    assert lora.scaling == 2
    assert sorted(lora.pairs) == [
        f"model.layers.{layer}.self_attn.{name}_proj" for layer in (0, 1) for name in ("q", "v")
    ]
    low, high = lora.pairs["model.layers.0.self_attn.v_proj"]
    assert (low.shape, high.shape, low.dtype) == ((4, 64), (32, 4), torch.float32)
    half = transformers.LlamaForCausalLM(model.config).to(torch.bfloat16)
    assert read_adapter(saved, half).pairs["model.layers.0.self_attn.v_proj"][0].dtype == torch.bfloat16


def test_the_name_of_the_base_proves_nothing(copy: Path, model: torch.nn.Module) -> None:
    edit_config(copy, base_model_name_or_path="somebody/another-model")
    assert read_adapter(copy, model).scaling == 2


def test_layers_that_were_chosen_by_number(folder: Path, tmp_path: Path, model: torch.nn.Module) -> None:
    path = save_lora(folder, tmp_path, target_modules=["q_proj"], layers_to_transform=[1])
    assert list(read_adapter(path, model).pairs) == ["model.layers.1.self_attn.q_proj"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"use_dora": True}, "trained with use_dora"),
        ({"bias": "all"}, "trained with bias"),
        ({"modules_to_save": ["lm_head"]}, "trained with modules_to_save"),
        ({"trainable_token_indices": [3]}, "trained with trainable_token_indices"),
        ({"init_lora_weights": "pissa"}, "changes the base's weights"),
        ({"rank_pattern": {r"layers\.1\.self_attn\.q_proj": 2}}, "scales its modules differently"),
        ({"alpha_pattern": {r"layers\.1\.self_attn\.q_proj": 2}}, "scales its modules differently"),
    ],
)
def test_more_than_plain_lora_is_refused(
    folder: Path, tmp_path: Path, model: torch.nn.Module, more: dict[str, object], said: str
) -> None:
    path = save_lora(folder, tmp_path, target_modules=["q_proj"], **more)
    with pytest.raises(DataError, match=said):
        read_adapter(path, model)


def test_a_folder_that_is_not_whole(tmp_path: Path, copy: Path, model: torch.nn.Module) -> None:
    with pytest.raises(DataError, match=r"holds no adapter_config\.json"):
        read_adapter(tmp_path / "nowhere", model)
    weights = copy / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match="get the file again"):
        read_adapter(copy, model)
    weights.rename(copy / "adapter_model.bin")
    with pytest.raises(DataError, match=r"as \.bin.*run code.*safetensors"):
        read_adapter(copy, model)
    (copy / "adapter_model.bin").unlink()
    with pytest.raises(DataError, match=r"needs adapter_model\.safetensors"):
        read_adapter(copy, model)


def test_weights_that_are_no_numbers_are_refused(copy: Path, model: torch.nn.Module) -> None:
    edit_weights(copy, **{f"{Q}.lora_B.weight": torch.full((64, 4), torch.nan)})
    with pytest.raises(DataError, match=r"q_proj\.lora_B\.weight holds NaN or infinite values"):
        read_adapter(copy, model)


def test_an_adapter_of_a_base_of_another_width(saved: Path) -> None:
    wider = other_base(hidden_size=80)
    with pytest.raises(
        DataError, match=r"q_proj takes 80 inputs to 80 outputs here.*A is \(4, 64\) and its B \(64, 4\).*another base"
    ):
        read_adapter(saved, wider)


def test_an_adapter_of_a_base_of_another_depth(saved: Path) -> None:
    with pytest.raises(DataError, match=r"changes model\.layers\.1\..*unknown here.*another base; open that one"):
        read_adapter(saved, other_base(num_hidden_layers=1))
    with pytest.raises(DataError, match=r"has no weights for model\.layers\.2\..*base of 4 such modules and not of 6"):
        read_adapter(saved, other_base(num_hidden_layers=3))


def test_an_adapter_of_a_base_of_another_kind(saved: Path) -> None:
    gpt2 = transformers.GPT2LMHeadModel(transformers.GPT2Config(vocab_size=322, n_embd=64, n_layer=2, n_head=4))
    with pytest.raises(DataError, match=r"changes model\.layers\.0.*does not have: the adapter was trained on another"):
        read_adapter(saved, gpt2)


def test_a_target_that_the_base_lacks(copy: Path, model: torch.nn.Module) -> None:
    edit_config(copy, target_modules=["q_proj", "v_proj", "c_attn"])
    with pytest.raises(DataError, match="names the target module 'c_attn', which this model does not have"):
        read_adapter(copy, model)
    edit_config(copy, target_modules=["q_proj"])
    with pytest.raises(DataError, match=r"has weights, but no target module, for model\.layers\.0\.self_attn\.v_proj"):
        read_adapter(copy, model)


def test_embeddings_and_norms_are_no_linear_layers(copy: Path, model: torch.nn.Module) -> None:
    name = "base_model.model.model.embed_tokens"
    edit_weights(copy, **{f"{name}.lora_A.weight": torch.ones(4, 322), f"{name}.lora_B.weight": torch.ones(64, 4)})
    edit_config(copy, target_modules=["q_proj", "v_proj", "embed_tokens"])
    with pytest.raises(DataError, match=r"changes model\.embed_tokens, a Embedding; only linear layers"):
        read_adapter(copy, model)
