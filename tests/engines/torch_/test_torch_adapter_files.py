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
        ({"use_dora": True}, "uses use_dora"),
        ({"bias": "all"}, "trains biases"),
        ({"modules_to_save": ["lm_head"]}, "uses modules_to_save"),
        ({"rank_pattern": {"q_proj": 2}}, "uses rank_pattern"),
        ({"alpha_pattern": {"q_proj": 2}}, "uses alpha_pattern"),
        ({"trainable_token_indices": [3]}, "uses trainable_token_indices"),
        ({"init_lora_weights": "pissa"}, "changes the base's weights"),
    ],
)
def test_more_than_plain_lora_is_refused(
    folder: Path, tmp_path: Path, model: torch.nn.Module, more: dict[str, object], said: str
) -> None:
    path = save_lora(folder, tmp_path, target_modules=["q_proj"], **more)
    with pytest.raises(DataError, match=said):
        read_adapter(path, model)


def test_another_kind_of_adapter_and_fields_of_the_future_are_refused(copy: Path, model: torch.nn.Module) -> None:
    edit_config(copy, use_something_new={"x": 1}, lora_bias=True)
    with pytest.raises(DataError, match="uses lora_bias, use_something_new, which this engine cannot apply; merge"):
        read_adapter(copy, model)
    edit_config(copy, peft_type="IA3")
    with pytest.raises(DataError, match="is an adapter of type IA3"):
        read_adapter(copy, model)


def test_a_folder_that_is_not_whole(tmp_path: Path, copy: Path, model: torch.nn.Module) -> None:
    with pytest.raises(DataError, match=r"holds no adapter_config\.json"):
        read_adapter(tmp_path / "nowhere", model)
    weights = copy / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(DataError, match="is broken"):
        read_adapter(copy, model)
    weights.rename(copy / "adapter_model.bin")
    with pytest.raises(DataError, match=r"as \.bin.*run code.*safetensors"):
        read_adapter(copy, model)
    (copy / "adapter_model.bin").unlink()
    with pytest.raises(DataError, match=r"holds no adapter_model\.safetensors"):
        read_adapter(copy, model)
    (copy / "adapter_config.json").write_text("{")
    with pytest.raises(DataError, match="cannot be read"):
        read_adapter(copy, model)
    (copy / "adapter_config.json").write_text("[]")
    with pytest.raises(DataError, match="is no configuration of PEFT"):
        read_adapter(copy, model)


@pytest.mark.parametrize(("field", "value"), [("r", 0), ("r", "8"), ("lora_alpha", None), ("lora_alpha", True)])
def test_a_rank_that_is_none(copy: Path, model: torch.nn.Module, field: str, value: object) -> None:
    edit_config(copy, **{field: value})
    with pytest.raises(DataError, match=f"{field} = .* is no positive number"):
        read_adapter(copy, model)


def test_half_a_pair_and_strange_tensors(copy: Path, model: torch.nn.Module) -> None:
    edit_weights(copy, **{f"{Q}.lora_B.weight": None})
    with pytest.raises(DataError, match=r"only one of the two matrices of model\.layers\.1\.self_attn\.q_proj"):
        read_adapter(copy, model)
    edit_weights(copy, **{"base_model.model.lm_head.weight": torch.ones(2, 2)})
    with pytest.raises(DataError, match=r"holds base_model\.model\.lm_head\.weight of shape \(2, 2\).*merge"):
        read_adapter(copy, model)
    save_file({}, copy / "adapter_model.safetensors")
    with pytest.raises(DataError, match="holds no weights"):
        read_adapter(copy, model)


def test_an_adapter_of_a_base_of_another_width(saved: Path) -> None:
    wider = other_base(hidden_size=80)
    with pytest.raises(
        DataError, match=r"q_proj takes 80 inputs to 80 outputs here.*A is 4x64 and its B 64x4.*another base"
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


def test_a_rank_that_is_not_that_of_the_matrices(copy: Path, model: torch.nn.Module) -> None:
    edit_config(copy, r=8)
    with pytest.raises(
        DataError, match=r"r = 8 in .*q_proj are A 4x64 and B 64x4; take the configuration and the weights"
    ):
        read_adapter(copy, model)


def test_embeddings_and_norms_are_no_linear_layers(copy: Path, model: torch.nn.Module) -> None:
    name = "base_model.model.model.embed_tokens"
    edit_weights(copy, **{f"{name}.lora_A.weight": torch.ones(4, 322), f"{name}.lora_B.weight": torch.ones(64, 4)})
    edit_config(copy, target_modules=["q_proj", "v_proj", "embed_tokens"])
    with pytest.raises(DataError, match=r"changes model\.embed_tokens, a Embedding; only linear layers"):
        read_adapter(copy, model)
