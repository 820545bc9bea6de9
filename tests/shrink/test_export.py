from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from support.llama_folder import LAYERS, SHAPES, edit_json, write_llama, write_lora

from ponder.core.errors import DataError, OptionError
from ponder.shrink.export import ADAPTER_TYPES, TYPES, export_adapter, export_model
from ponder.weights.lora import read_lora
from ponder.weights.tensors import Array, open_weights, save_tensors


def settings(file: Path) -> dict[str, object]:
    import gguf

    return {name: field.contents() for name, field in gguf.GGUFReader(file).fields.items()}


def tensors(file: Path) -> dict[str, tuple[str, Array]]:
    """Name to GGUF type and values."""
    import gguf

    return {
        str(tensor.name): (tensor.tensor_type.name, np.array(gguf.quants.dequantize(tensor.data, tensor.tensor_type)))
        for tensor in gguf.GGUFReader(file).tensors
    }


def values(folder: Path) -> dict[str, Array]:
    return {name: tensor.read() for name, tensor in open_weights(folder).items()}


# Models


def test_settings_are_the_models_own(model: Path, tmp_path: Path) -> None:
    export_model(model, tmp_path / "x.gguf", "f32")
    found = settings(tmp_path / "x.gguf")
    wanted = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "tiny-llama",
        "general.file_type": 0,
        "llama.block_count": 2,
        "llama.context_length": 512,
        "llama.embedding_length": 64,
        "llama.feed_forward_length": 96,
        "llama.attention.head_count": 4,
        "llama.attention.head_count_kv": 2,
        "llama.rope.dimension_count": 16,
        "llama.rope.freq_base": 5000.0,
        "llama.attention.layer_norm_rms_epsilon": pytest.approx(1e-5),
        "llama.vocab_size": 304,
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.eot_token_id": 0,
        "tokenizer.ggml.padding_token_id": 0,
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": (model / "chat_template.jinja").read_text("utf-8"),
    }
    assert {name: found[name] for name in wanted} == wanted
    lists = [found[f"tokenizer.ggml.{name}"] for name in ("tokens", "token_type", "merges")]
    assert list(map(len, lists)) == [304, 304, 40]  # type: ignore[arg-type]


def test_positions_may_be_told_the_old_way(model: Path, tmp_path: Path) -> None:
    edit_json(model / "config.json", rope_parameters=None, rope_scaling=None, rope_theta=1234.0)
    export_model(model, tmp_path / "x.gguf")
    assert settings(tmp_path / "x.gguf")["llama.rope.freq_base"] == 1234.0


def test_rows_of_q_and_k_go_from_halves_to_neighbours(model: Path, tmp_path: Path) -> None:
    """Row 8 of a head of 16, the partner of row 0, comes second."""
    export_model(model, tmp_path / "x.gguf", "f32")
    there, here = tensors(tmp_path / "x.gguf"), values(model)
    order = [16 * head + half * 8 + row for head in range(4) for row in range(8) for half in range(2)]
    for name, heads in (("q", 4), ("k", 2)):
        mine = here[f"model.layers.1.self_attn.{name}_proj.weight"]
        assert np.array_equal(there[f"blk.1.attn_{name}.weight"][1], mine[order[: 16 * heads]])
    assert np.array_equal(there["blk.1.attn_v.weight"][1], here["model.layers.1.self_attn.v_proj.weight"])
    assert np.array_equal(there["output.weight"][1], here["lm_head.weight"])


@pytest.mark.parametrize(("type", "most"), [("f32", 0), ("f16", 2**-11), ("bf16", 2**-8), ("q8_0", 2**-7)])
def test_types_round_as_finely_as_they_can(model: Path, tmp_path: Path, type: str, most: float) -> None:
    export_model(model, tmp_path / "x.gguf", type)
    there, here = tensors(tmp_path / "x.gguf"), values(model)
    for name, theirs in (("token_embd", "model.embed_tokens"), ("blk.0.ffn_down", "model.layers.0.mlp.down_proj")):
        kind, found = there[f"{name}.weight"]
        wanted = here[f"{theirs}.weight"]
        assert kind == TYPES[type]
        assert np.abs(found - wanted).max() <= most * np.abs(wanted).max()
    assert {there[name][0] for name in there if "norm" in name} == {"F32"}


def test_tied_embeddings_are_written_once(tmp_path: Path) -> None:
    export_model(write_llama(tmp_path / "tied", tied=True), tmp_path / "x.gguf")
    assert "output.weight" not in tensors(tmp_path / "x.gguf")


def test_derived_weights_are_left_out(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "tied", tied=True)
    export_model(folder, tmp_path / "x.gguf")
    here = values(folder)
    extra = {
        "lm_head.weight": here["model.embed_tokens.weight"],
        "model.layers.0.self_attn.rotary_emb.inv_freq": np.ones(8, np.float32),
    }
    save_tensors(folder / "model.safetensors", here | extra)
    export_model(folder, tmp_path / "y.gguf")
    assert (tmp_path / "x.gguf").read_bytes() == (tmp_path / "y.gguf").read_bytes()


def test_progress_counts_tensors(model: Path, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    export_model(model, tmp_path / "x.gguf", progress=lambda *done: seen.append(done))
    assert seen == [(done, 21) for done in range(1, 22)]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}}, "stretches its position code .llama3."),
        ({"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 2}}, r"position code \(linear\)"),
        ({"rope_parameters": {"rope_theta": 0}}, "rope_theta = 0; it must be a number above 0"),
        ({"max_position_embeddings": None}, "max_position_embeddings = None"),
        ({"model_type": "mistral", "architectures": ["MistralForCausalLM"]}, "is a MistralForCausalLM model"),
        ({"intermediate_size": 128}, r"gate_proj.weight has shape \(96, 64\), and config.json says \(128, 64\)"),
        ({"num_hidden_layers": 3}, r"lacks model.layers.2.*\(9 in all\)"),
        ({"num_hidden_layers": 1}, r"has more than a Llama: model.layers.1.*\(9 in all\)"),
    ],
)
def test_models_that_llama_cpp_would_run_otherwise_are_refused(
    model: Path, tmp_path: Path, fields: dict[str, object], message: str
) -> None:
    edit_json(model / "config.json", **fields)
    with pytest.raises(DataError, match=message) as error:
        export_model(model, tmp_path / "x.gguf")
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["tiny-llama"]


def test_an_export_that_fails_leaves_what_was_there(model: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.gguf"
    out.write_text("old")
    here = values(model)
    here["model.norm.weight"] *= np.float32(1e30)
    here["model.layers.1.mlp.up_proj.weight"][0, 0] = 70_000
    save_tensors(model / "model.safetensors", here)
    with pytest.raises(DataError, match=r"blk.1.ffn_up.weight has values beyond the range of F16; take a wider type"):
        export_model(model, out, "f16")
    assert out.read_text() == "old"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tiny-llama", "x.gguf"]
    export_model(model, out, "bf16")
    assert out.read_bytes()[:4] == b"GGUF"


def test_blocks_need_rows_that_they_divide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SHAPES, "mlp.down_proj", (64, 100))
    for name in ("gate", "up"):
        monkeypatch.setitem(SHAPES, f"mlp.{name}_proj", (100, 64))
    folder = write_llama(tmp_path / "odd")
    edit_json(folder / "config.json", intermediate_size=100)
    with pytest.raises(DataError, match="rows of 100, no multiple of 32; write f16 instead"):
        export_model(folder, tmp_path / "x.gguf", "q8_0")
    export_model(folder, tmp_path / "x.gguf", "f16")


def test_types_that_are_none_are_refused(model: Path, adapter: Path, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"one of f32, f16, bf16, q8_0; did you mean 'q8_0'"):
        export_model(model, tmp_path / "x.gguf", "q8")
    with pytest.raises(OptionError, match="one of f32, f16, bf16"):
        export_adapter(adapter, model, tmp_path / "x.gguf", "q8_0")
    with pytest.raises(DataError, match="is an adapter; name its base"):
        export_model(adapter, tmp_path / "x.gguf")


def test_a_missing_package_says_what_to_install(
    model: Path, adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ponder.shrink.export.find_spec", lambda name: None)
    with pytest.raises(OptionError, match=r"needs the package gguf: pip install 'ponder\[train\]'"):
        export_model(model, tmp_path / "x.gguf")
    with pytest.raises(OptionError, match="needs the package gguf"):
        export_adapter(adapter, model, tmp_path / "x.gguf")


# Adapters


@pytest.mark.parametrize("type", ADAPTER_TYPES)
def test_factors_get_their_names_and_their_order(model: Path, adapter: Path, tmp_path: Path, type: str) -> None:
    export_adapter(adapter, model, tmp_path / "x.gguf", type)
    found, there, pairs = settings(tmp_path / "x.gguf"), tensors(tmp_path / "x.gguf"), read_lora(adapter).pairs
    wanted = {
        "general.type": "adapter",
        "adapter.type": "lora",
        "adapter.lora.alpha": 8.0,
        "general.architecture": "llama",
    }
    assert {name: found[name] for name in wanted} == wanted
    assert len(there) == 2 * LAYERS * len(SHAPES)
    assert {kind for kind, _ in there.values()} == {TYPES[type]}
    order = [16 * head + half * 8 + row for head in range(4) for row in range(8) for half in range(2)]
    q, down = pairs["model.layers.1.self_attn.q_proj"], pairs["model.layers.0.mlp.down_proj"]
    assert there["blk.1.attn_q.weight.lora_a"][1] == pytest.approx(q.a, rel=2**-8)
    assert there["blk.1.attn_q.weight.lora_b"][1] == pytest.approx(q.b[order], rel=2**-8)
    assert there["blk.0.ffn_down.weight.lora_b"][1] == pytest.approx(down.b, rel=2**-8)


def test_a_gguf_base_serves_as_well_as_its_folder(model: Path, adapter: Path, tmp_path: Path) -> None:
    export_model(model, tmp_path / "base.gguf", "q8_0")
    export_adapter(adapter, model, tmp_path / "x.gguf")
    export_adapter(adapter, tmp_path / "base.gguf", tmp_path / "y.gguf")
    assert (tmp_path / "x.gguf").read_bytes() == (tmp_path / "y.gguf").read_bytes()


@pytest.mark.parametrize("tied", [False, True])
def test_an_output_of_its_own_can_be_adapted(tmp_path: Path, tied: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    base, adapter = write_llama(tmp_path / "base", tied=tied), write_lora(tmp_path / "lora", modules=("mlp.up_proj",))
    here = {name: tensor.read() for name, tensor in open_weights(adapter, "adapter_model").items()}
    here |= {"base_model.model.lm_head.lora_A.weight": np.ones((4, 64), np.float32)}
    here |= {"base_model.model.lm_head.lora_B.weight": np.ones((304, 4), np.float32)}
    save_tensors(adapter / "adapter_model.safetensors", here)
    if tied:
        with pytest.raises(DataError, match=r"adapts lm_head, which .* cannot in this base"):
            export_adapter(adapter, base, tmp_path / "x.gguf")
    else:
        export_adapter(adapter, base, tmp_path / "x.gguf")
        assert tensors(tmp_path / "x.gguf")["output.weight.lora_b"][1].shape == (304, 4)


def test_adapters_that_do_not_fit_are_refused(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = write_lora(tmp_path / "deep", layers=3)
    with pytest.raises(DataError, match=r"adapts model\.layers\.2\.self_attn\.q_proj, which"):
        export_adapter(deep, model, tmp_path / "x.gguf")
    zero = write_lora(tmp_path / "zero", alpha=0, alpha_pattern={".*_proj": 8})
    with pytest.raises(DataError, match=r"lora_alpha = 0; it must be above 0"):
        export_adapter(zero, model, tmp_path / "x.gguf")
    monkeypatch.setitem(SHAPES, "self_attn.q_proj", (80, 64))
    wide = write_lora(tmp_path / "wide")
    with pytest.raises(
        DataError, match=r"another base: model.layers.0.self_attn.q_proj is \(80, 64\) there, \(64, 64\)"
    ):
        export_adapter(wide, model, tmp_path / "x.gguf")
    assert not (tmp_path / "x.gguf").exists()
