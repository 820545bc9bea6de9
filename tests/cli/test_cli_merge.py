from __future__ import annotations

from pathlib import Path

from support.command import Command
from support.llama_folder import LAYERS, SHAPES, write_llama, write_lora


def test_two_models_merge(ponder: Command, tmp_path: Path) -> None:
    write_llama(tmp_path / "a", seed=1), write_llama(tmp_path / "b", seed=2)
    tensors = LAYERS * (len(SHAPES) + 2) + 3
    done = ponder("merge", "a", "b", "--weight", "-0.25", "--out", "c")
    assert (done.code, done.out, done.err) == (0, f"c: model, {tensors} tensors\n", "")
    done = ponder("merge", "a", "b", "--weight", "0.5", "--method", "slerp", "--out", "d", "--json")
    assert done.json == {
        "schema": 1,
        "out": "d",
        "kind": "model",
        "method": "slerp",
        "weight": 0.5,
        "tensors": tensors,
        "rank": None,
        "error": 0.0,
    }
    assert (tmp_path / "d" / "tokenizer.json").is_file()


def test_adapters_tell_their_rank_and_error(ponder: Command, tmp_path: Path) -> None:
    write_lora(tmp_path / "a", seed=1), write_lora(tmp_path / "b", seed=2)
    assert ponder("merge", "a", "b", "--weight", "0.5", "--out", "c").out == "c: adapter, rank 8, exact\n"
    done = ponder("merge", "a", "b", "--weight", "0.5", "--rank", "7", "--out", "d")
    told = done.out.removeprefix("d: adapter, rank 7, relative error ").removesuffix("%\n")
    assert 0 < float(told) < 30


def test_a_base_and_its_adapter_make_a_model(ponder: Command, tmp_path: Path) -> None:
    write_llama(tmp_path / "base"), write_lora(tmp_path / "lora")
    assert ponder("merge", "base", "lora", "--weight", "0.5", "--out", "c").code == 0
    assert ponder("shrink", "export", "c", "--out", "c.gguf").code == 0


def test_what_cannot_be_merged_is_one_sentence(ponder: Command, tmp_path: Path) -> None:
    write_llama(tmp_path / "base"), write_lora(tmp_path / "lora")
    cases = {
        ("lora", "base", "--weight", "1", "--out", "c"): "name the base first",
        ("base", "gone", "--weight", "1", "--out", "c"): "gone holds no weights; it needs model.safetensors",
        ("base", "base", "--weight", "nan", "--out", "c"): "weight = nan is no number",
        ("base", "base", "--weight", "1", "--out", "lora"): "lora exists and is not an empty folder",
    }
    for args, message in cases.items():
        done = ponder("merge", *args)
        assert (done.code, done.out) == (1, "")
        assert message in done.err
        assert done.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["base", "lora"]
