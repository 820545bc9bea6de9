"""Folders that are not whole: each is one clear sentence, and none is loaded in part."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from tiny_llama import save_tokenizer

from ponder.core.errors import DataError, OptionError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.torch

from ponder.engines.torch import load as load_module  # noqa: E402
from ponder.engines.torch.load import load  # noqa: E402


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_a_whole_folder_loads(folder: Path) -> None:
    loaded = load(folder, "float32")
    assert (loaded.layers, loaded.context, loaded.words) == (2, 2048, 322)
    assert loaded.ends == {1}
    assert loaded.model.dtype == torch.float32
    assert not loaded.model.training
    assert loaded.vocabulary.added["<|im_end|>"] == (1, True)
    assert loaded.vocabulary.added["<think>"][1] is False


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no folder"):
        load(tmp_path / "nothing", "auto")


def test_a_file_instead_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    with pytest.raises(DataError, match=r"is a file.*llama\.cpp"):
        load(tmp_path / "m.gguf", "auto")


def test_a_folder_without_a_configuration(copy: Path) -> None:
    (copy / "config.json").unlink()
    with pytest.raises(DataError, match=r"holds no config\.json"):
        load(copy, "auto")
    (copy / "adapter_config.json").write_text("{}")
    with pytest.raises(DataError, match="merge it into its base"):
        load(copy, "auto")


def test_a_folder_without_weights(copy: Path) -> None:
    (copy / "model.safetensors").unlink()
    with pytest.raises(DataError, match="holds no weights"):
        load(copy, "auto")


def test_pickled_weights_are_never_read(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"as \.bin only.*run code.*save_pretrained"):
        load(copy, "auto")


def test_a_truncated_weights_file(copy: Path) -> None:
    weights = copy / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    with pytest.raises(DataError, match=r"cannot be loaded.*get the folder again"):
        load(copy, "auto")


def test_a_missing_part(copy: Path) -> None:
    (copy / "model.safetensors").rename(copy / "model-00001-of-00002.safetensors")
    parts = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (copy / "model.safetensors.index.json").write_text(json.dumps({"weight_map": parts}))
    with pytest.raises(DataError, match=r"lacks model-00002-of-00002\.safetensors"):
        load(copy, "auto")
    (copy / "model.safetensors.index.json").write_text("{")
    with pytest.raises(DataError, match=r"index\.json is broken"):
        load(copy, "auto")


def test_weights_that_are_not_there_are_not_made_up(copy: Path) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(copy / "model.safetensors")
    del weights["model.norm.weight"]
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(DataError, match=r"lacks 1 of the model's weights, model\.norm\.weight"):
        load(copy, "auto")


def test_a_folder_without_a_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(DataError, match="holds no tokenizer"):
        load(copy, "auto")


def test_a_broken_tokenizer(copy: Path) -> None:
    (copy / "tokenizer.json").write_text("{")
    with pytest.raises(DataError, match="cannot be loaded"):
        load(copy, "auto")


def test_a_folder_without_a_chat_template(copy: Path) -> None:
    (copy / "chat_template.jinja").unlink(missing_ok=True)
    save_tokenizer(copy, None)
    with pytest.raises(DataError, match="has no chat template"):
        load(copy, "auto")


def test_a_broken_configuration(copy: Path) -> None:
    (copy / "config.json").write_text("{")
    with pytest.raises(DataError, match="cannot be loaded"):
        load(copy, "auto")


def test_code_of_the_folder_is_never_run(copy: Path) -> None:
    (copy / "evil.py").write_text("raise SystemExit('ran')")
    edit(copy / "config.json", model_type="evil", auto_map={"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M"})
    with pytest.raises(DataError, match="cannot be loaded"):
        load(copy, "auto")


def test_a_window_bounds_the_context_only_where_it_is_used(copy: Path) -> None:
    edit(copy / "config.json", model_type="qwen2", architectures=["Qwen2ForCausalLM"], sliding_window=128)
    config = transformers.AutoConfig.from_pretrained(copy)
    assert load_module._context(copy, config) == 2048
    edit(copy / "config.json", model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=128)
    assert load_module._context(copy, transformers.AutoConfig.from_pretrained(copy)) == 128


@pytest.mark.parametrize("kind", ["mamba", "bloom"])
def test_models_without_plain_attention_are_refused(copy: Path, kind: str) -> None:
    config = transformers.AutoConfig.for_model(kind)
    config.save_pretrained(copy)
    with pytest.raises(DataError, match=f"is a {kind} model"):
        load(copy, "auto")


def test_the_type_to_compute_in() -> None:
    cpu = torch.device("cpu")
    assert load_module._dtype("bfloat16", torch.float32, cpu, 64) == torch.bfloat16
    assert load_module._dtype("auto", torch.float32, cpu, 4096) == torch.float32
    assert load_module._dtype("auto", None, cpu, 4096) == torch.float32
    assert load_module._dtype("auto", torch.bfloat16, torch.device("cuda"), 64) == torch.bfloat16
    assert load_module._dtype("auto", torch.bfloat16, cpu, 255) == torch.float32
    quick = torch.cpu.get_capabilities().get("avx512_bf16") or torch.cpu.get_capabilities().get("amx_bf16")
    assert load_module._dtype("auto", torch.float16, cpu, 256) == (torch.bfloat16 if quick else torch.float32)


@pytest.mark.parametrize("said", ["float32", None])
def test_weights_kept_in_half_precision_are_computed_as_the_configuration_says(copy: Path, said: str | None) -> None:
    from safetensors.torch import load_file, save_file

    kept = {name: tensor.half() for name, tensor in load_file(copy / "model.safetensors").items()}
    save_file(kept, copy / "model.safetensors", metadata={"format": "pt"})
    edit(copy / "config.json", dtype=said, torch_dtype=said)
    model = load(copy, "auto").model
    assert {weight.dtype for weight in model.parameters()} == {torch.float32}
    assert torch.equal(model.model.norm.weight, kept["model.norm.weight"].float())


def test_an_unknown_type(folder: Path) -> None:
    with pytest.raises(OptionError, match="dtype = 'int3'"):
        load(folder, "int3")
