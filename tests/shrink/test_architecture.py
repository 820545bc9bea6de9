from __future__ import annotations

from pathlib import Path

import pytest
from support.llama_folder import HEAD, HEADS, INNER, KV_HEADS, LAYERS, SHAPES, WIDTH, edit_json, write_llama
from support.tiny_gguf import write_adapter, write_tiny

from ponder.core.errors import DataError
from ponder.shrink.architecture import Llama, Place, read_shape
from ponder.shrink.export import export_model
from ponder.weights.tensors import open_weights


@pytest.mark.parametrize("tied", [False, True])
def test_places_are_the_weights_that_there_are(tmp_path: Path, tied: bool) -> None:
    folder = write_llama(tmp_path / "tiny", tied=tied)
    places = read_shape(folder).places()
    assert {f"{module}.weight": place.shape for module, place in places.items()} == {
        name: tensor.shape for name, tensor in open_weights(folder).items()
    }
    assert places["model.layers.1.self_attn.k_proj"] == Place(
        "blk.1.attn_k.weight", SHAPES["self_attn.k_proj"], KV_HEADS
    )
    assert places["model.layers.0.self_attn.q_proj"].heads == HEADS
    assert [place.name for place in places.values() if place.heads] == [
        f"blk.{layer}.attn_{part}.weight" for layer in range(LAYERS) for part in "qk"
    ]


@pytest.mark.parametrize("tied", [False, True])
def test_a_folder_and_its_export_have_one_shape(tmp_path: Path, tied: bool) -> None:
    folder = write_llama(tmp_path / "tiny", tied=tied)
    export_model(folder, tmp_path / "tiny.gguf", "f16")
    shape = read_shape(folder)
    assert shape == read_shape(tmp_path / "tiny.gguf")
    assert shape == Llama(LAYERS, WIDTH, INNER, HEADS, KV_HEADS, HEAD, shape.words, tied)


def test_older_configurations_leave_out_what_follows_from_the_rest(tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "tiny")
    edit_json(folder / "config.json", head_dim=None, num_key_value_heads=None, tie_word_embeddings=False)
    shape = read_shape(folder)
    assert (shape.head, shape.kv_heads) == (HEAD, HEADS)


def test_shapes_come_from_files_of_others_too(tmp_path: Path) -> None:
    assert read_shape(write_tiny(tmp_path / "tiny.gguf")) == Llama(1, 64, 128, 2, 2, 32, 298, False)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"]}, "is a Qwen2ForCausalLM model; only LlamaFor"),
        ({"model_type": None, "architectures": None}, "only LlamaForCausalLM"),
        ({"architectures": ["LlamaForSequenceClassification"]}, "LlamaForSequenceClassification"),
        ({"attention_bias": True}, "attention_bias"),
        ({"mlp_bias": True}, "mlp_bias"),
        ({"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ({"num_hidden_layers": 0}, "num_hidden_layers = 0; it must be a whole number of at least 1"),
        ({"hidden_size": "64"}, "hidden_size = '64'"),
        ({"vocab_size": None}, "vocab_size = None"),
    ],
)
def test_other_models_are_refused(tmp_path: Path, fields: dict[str, object], message: str) -> None:
    folder = write_llama(tmp_path / "tiny")
    edit_json(folder / "config.json", **fields)
    with pytest.raises(DataError, match=message):
        read_shape(folder)


def test_files_that_are_no_base_are_refused(tmp_path: Path) -> None:
    import gguf

    file = tmp_path / "x.gguf"
    for data in (b"", b"GGUF", b"no such thing" * 9):
        file.write_bytes(data)
        with pytest.raises(DataError, match=r"x\.gguf cannot be read as GGUF"):
            read_shape(file)
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_block_count(1)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(DataError, match=r"x\.gguf lacks llama\.attention\.head_count"):
        read_shape(file)
    with pytest.raises(DataError, match="is no llama model"):
        read_shape(write_adapter(file))
    with pytest.raises(DataError, match=r"holds no config\.json"):
        read_shape(tmp_path / "gone")
