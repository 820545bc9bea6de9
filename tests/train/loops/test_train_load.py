"""Models to train on: folders, GGUF files unpacked once, and a clear word on what lacks."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.train.loops.settings import SFT

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytestmark = pytest.mark.torch

from ponder.train.loops import load  # noqa: E402
from ponder.train.loops.load import bfloat16_is_quick, open_model, unpacked  # noqa: E402

FULL = SFT(lora=0)


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_folder_is_opened_under_its_name(folder: Path) -> None:
    model, tokenizer = open_model(folder, "tiny", FULL)
    assert model.name_or_path == "tiny"
    assert model.dtype == torch.float32
    assert "<|im_start|>" in tokenizer.chat_template
    assert open_model(folder, "tiny", SFT(dtype="float32"))[0].dtype == torch.float32


@pytest.mark.parametrize(
    ("gpu", "found", "quick"),
    [
        (False, {"avx2": True, "avx512_f": True}, False),
        (False, {"avx512_bf16": True}, True),
        (False, {"amx_bf16": True}, True),
        (True, {}, True),
    ],
    ids=["avx512", "avx512-bf16", "amx", "gpu"],
)
def test_bfloat16_takes_instructions_of_its_own(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, found: dict[str, bool], quick: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found)
    assert bfloat16_is_quick() is quick


def test_another_template_takes_the_place_of_the_models(copy: Path, tmp_path: Path) -> None:
    template = tmp_path / "own.jinja"
    template.write_text("{{ messages[0].content }}")
    (copy / "chat_template.jinja").unlink()
    assert open_model(copy, "tiny", FULL, template)[1].chat_template == "{{ messages[0].content }}"
    with pytest.raises(DataError, match=r"copy has no chat template; put its chat_template\.jinja there"):
        open_model(copy, "tiny", FULL)
    with pytest.raises(DataError, match="cannot be read as a chat template"):
        open_model(copy, "tiny", FULL, tmp_path / "none.jinja")


def test_folders_that_are_not_whole(copy: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises(DataError, match=r"holds no config\.json"):
        open_model(tmp_path, "tiny", FULL)
    weights = load_file(copy / "model.safetensors")
    name = "model.layers.1.mlp.up_proj.weight"
    save_file({key: part for key, part in weights.items() if key != name}, copy / "model.safetensors", {"format": "pt"})
    with pytest.raises(DataError, match=f"lacks weights, {name}"):
        open_model(copy, "tiny", FULL)
    (copy / "model.safetensors").write_bytes(b"torn")
    with pytest.raises(DataError, match="copy cannot be loaded by transformers"):
        open_model(copy, "tiny", FULL)


@pytest.fixture
def gguf(copy: Path, tmp_path: Path) -> Path:
    """The tiny model as a GGUF file."""
    pytest.importorskip("gguf")
    from ponder.shrink.export import export_model

    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps({**config, "bos_token_id": 0}))
    export_model(copy, tmp_path / "tiny.gguf", type="f32")
    return tmp_path / "tiny.gguf"


def test_a_gguf_file_is_unpacked_once(copy: Path, gguf: Path, tmp_path: Path) -> None:
    found = unpacked(gguf, tmp_path / "cache")
    assert found.parent == tmp_path / "cache"
    before = open_model(copy, "tiny", FULL)[0].bfloat16().float()
    after, tokenizer = open_model(found, "tiny", FULL)
    ids = torch.tensor([tokenizer("2 + 3?")["input_ids"]])
    with torch.no_grad():
        assert torch.allclose(before(ids).logits, after(ids).logits, atol=1e-2)
    changed = (found / "config.json").stat().st_mtime_ns
    assert unpacked(gguf, tmp_path / "cache") == found
    assert (found / "config.json").stat().st_mtime_ns == changed
    assert [path.name for path in (tmp_path / "cache").iterdir()] == [found.name]
    assert len({path.stat().st_mode for path in found.iterdir()}) == 1


def test_whoever_comes_second_takes_what_is_there(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, real = tmp_path / "cache", load._unpack

    def slow(file: Path, part: Path) -> None:
        """Unpack, while another process is quicker."""
        with monkeypatch.context() as other:
            other.setattr(load, "_unpack", real)
            other.setattr(os, "getpid", lambda: 1)
            unpacked(gguf, cache)
        real(file, part)

    monkeypatch.setattr(load, "_unpack", slow)
    found = unpacked(gguf, cache)
    assert [path.name for path in cache.iterdir()] == [found.name]
    open_model(found, "tiny", FULL, None)


def test_a_cache_without_room_is_named(gguf: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", full)
        with pytest.raises(DataError, match=r"tiny\.gguf cannot be unpacked into .*cache \(No space left .*make room"):
            unpacked(gguf, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_is_no_gguf_file(tmp_path: Path) -> None:
    file = tmp_path / "none.gguf"
    with pytest.raises(DataError, match="cannot be read: No such file"):
        unpacked(file, tmp_path / "cache")
    file.write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(DataError, match=r"none\.gguf cannot be unpacked"):
        unpacked(file, tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []
