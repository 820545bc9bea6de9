from __future__ import annotations

from pathlib import Path

from support.command import Command
from support.llama_folder import write_llama, write_lora


def test_a_model_and_its_adapter_are_exported(ponder: Command, tmp_path: Path) -> None:
    write_llama(tmp_path / "tiny"), write_lora(tmp_path / "lora")
    done = ponder("shrink", "export", "tiny", "--out", "new/tiny.gguf", "--type", "q8_0")
    size = (tmp_path / "new" / "tiny.gguf").stat().st_size
    assert (done.code, done.err) == (0, "")
    assert done.out == f"new/tiny.gguf: {size / 1e6:.1f} MB, q8_0\n"
    done = ponder("shrink", "export", "lora", "--base", "tiny", "--out", "lora.gguf", "--json")
    assert done.json == {
        "schema": 1,
        "file": "lora.gguf",
        "kind": "adapter",
        "type": "f16",
        "size": (tmp_path / "lora.gguf").stat().st_size,
    }


def test_what_cannot_be_exported_is_one_sentence(ponder: Command, tmp_path: Path) -> None:
    write_llama(tmp_path / "tiny"), write_lora(tmp_path / "lora")
    cases = {
        ("lora", "--out", "x.gguf"): "lora is an adapter; name its base as well (--base)",
        ("tiny", "--out", "x.gguf", "--base", "tiny"): "--base is for adapters",
        ("gone", "--out", "x.gguf"): "gone holds no config.json",
        ("tiny", "--out", "lora"): "lora is a folder",
        ("lora", "--out", "x.gguf", "--base", "tiny", "--type", "q8_0"): "it must be one of f32, f16, bf16",
    }
    for args, message in cases.items():
        done = ponder("shrink", "export", *args)
        assert (done.code, done.out) == (1, "")
        assert message in done.err
        assert done.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lora", "tiny"]


def test_help_says_what_goes_in_and_out(ponder: Command) -> None:
    done = ponder("shrink", "export", "--help")
    assert done.code == 0
    assert "--base MODEL" in done.out
    assert "  ponder shrink export runs/tiny --out tiny.gguf\n" in done.out
