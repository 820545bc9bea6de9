from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest
from support.tiny_gguf import tokens, write_adapter

from ponder.core.errors import DataError
from ponder.engines.llama_gguf import check_adapter, read_head
from ponder.engines.llama_server import LlamaServer, ServerOptions

Shapes = dict[str, tuple[int, int]]
"""Names of tensors and their rows and columns, as numpy has them."""


@pytest.fixture(scope="session")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_adapter(tmp_path_factory.mktemp("adapter") / "valve.gguf")


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """Writes an adapter of given shapes."""

    def write(shapes: Shapes, *, arch: str = "llama", kind: str = "adapter", form: str = "lora") -> Path:
        import gguf
        import numpy as np

        path = tmp_path / "made.gguf"
        writer = gguf.GGUFWriter(path, arch)
        writer.add_type(kind)
        writer.add_string("adapter.type", form)
        writer.add_float32("adapter.lora.alpha", 2.0)
        for name, shape in shapes.items():
            writer.add_tensor(name, np.ones(shape, dtype=np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    return write


WORDS = len(tokens())


def pair(weight: str, a: tuple[int, int], b: tuple[int, int]) -> Shapes:
    return {f"{weight}.lora_a": a, f"{weight}.lora_b": b}


def test_a_head_is_what_the_reader_of_the_format_finds(tiny_path: Path) -> None:
    import gguf

    reader, head = gguf.GGUFReader(tiny_path), read_head(tiny_path)
    assert head.shapes == {tensor.name: tuple(map(int, tensor.shape)) for tensor in reader.tensors}
    assert head.shapes["blk.0.ffn_up.weight"] == (64, 128)
    assert head.fields["general.architecture"] == "llama"
    assert head.fields["llama.context_length"] == 4096
    assert head.fields["llama.attention.layer_norm_rms_epsilon"] == pytest.approx(1e-5)
    assert head.fields["tokenizer.ggml.add_bos_token"] is True
    theirs = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    lists = {name for name, value in theirs.items() if isinstance(value, list)}
    assert head.fields.keys() == theirs.keys() - lists
    assert {name for name, value in head.fields.items() if value != theirs[name]} == set()


def test_a_head_of_a_real_model(smollm_path: Path) -> None:
    head = read_head(smollm_path)
    assert len(head.shapes) == 272
    assert head.shapes["token_embd.weight"] == (576, 49_152)
    assert head.fields["general.file_type"] == 3


def test_a_file_that_is_cut_or_of_another_version(tiny_path: Path, tmp_path: Path) -> None:
    data, broken = tiny_path.read_bytes(), tmp_path / "broken.gguf"
    chance = random.Random(1)
    for length in (4, 5, 23, 24, 25, *(chance.randrange(24, 6_000) for _ in range(20))):
        broken.write_bytes(data[:length])
        with pytest.raises(DataError, match=r"broken\.gguf is cut short"):
            read_head(broken)
    broken.write_bytes(data[:4] + b"\x01\0\0\0" + data[8:])
    with pytest.raises(DataError, match="version 2 or 3"):
        read_head(broken)


def test_noise_in_a_head_is_a_sentence_or_a_head(tiny_path: Path, tmp_path: Path) -> None:
    chance, data, broken = random.Random(2), tiny_path.read_bytes(), tmp_path / "noise.gguf"
    said: list[str] = []
    for _ in range(200):
        noisy = bytearray(data[:6_000])
        noisy[chance.randrange(4, 6_000)] = chance.randrange(256)
        broken.write_bytes(noisy + data[6_000:])
        try:
            read_head(broken)
        except DataError as error:
            said.append(str(error))
    assert 10 < len(said) < 190
    assert all("noise.gguf" in line for line in said)


def test_an_adapter_that_fits(adapter: Path, tiny_path: Path, write: Callable[..., Path]) -> None:
    check_adapter(adapter, tiny_path)
    check_adapter(write(pair("blk.0.ffn_down.weight", (8, 128), (64, 8))), tiny_path)
    check_adapter(write(pair("blk.0.ffn_up.weight", (1, 64), (128, 1))), tiny_path)
    check_adapter(write(pair("token_embd.weight", (WORDS, 2), (64, 2))), tiny_path)  # read by row: the other way round


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (pair("blk.0.attn_q.weight", (4, 96), (96, 4)), "changes a blk.0.attn_q.weight of 96 x 96, and .* 64 x 64"),
        (pair("blk.0.ffn_up.weight", (4, 64), (64, 4)), "changes a blk.0.ffn_up.weight of 64 x 64, and .* 128 x 64"),
        (pair("blk.7.attn_q.weight", (4, 64), (64, 4)), "the model has no blk.7.attn_q.weight"),
        (pair("blk.0.attn_norm.weight", (4, 64), (64, 4)), "is not a matrix in both"),
    ],
)
def test_an_adapter_of_another_base(shapes: Shapes, words: str, write: Callable[..., Path], tiny_path: Path) -> None:
    with pytest.raises(
        DataError, match=rf"made\.gguf does not fit tiny\.gguf: .*{words}.*the base that it was made on"
    ):
        check_adapter(write(shapes), tiny_path)


def test_an_adapter_of_another_architecture(write: Callable[..., Path], tiny_path: Path) -> None:
    with pytest.raises(DataError, match="made for the architecture qwen2, and the model is a llama"):
        check_adapter(write(pair("blk.0.attn_q.weight", (4, 64), (64, 4)), arch="qwen2"), tiny_path)


def test_ranks_that_differ(write: Callable[..., Path], tiny_path: Path) -> None:
    with pytest.raises(DataError, match=r"ranks 4 and 8 at blk\.0\.attn_q\.weight"):
        check_adapter(write(pair("blk.0.attn_q.weight", (4, 64), (64, 8))), tiny_path)


def test_halves_and_strangers(write: Callable[..., Path], tiny_path: Path) -> None:
    for shapes in ({"blk.0.attn_q.weight.lora_a": (4, 64)}, {"blk.0.attn_q.weight": (64, 64)}):
        with pytest.raises(DataError, match=r"holds blk\.0\.attn_q\.weight.*no half of a LoRA pair"):
            check_adapter(write(shapes), tiny_path)


def test_what_is_no_adapter(write: Callable[..., Path], tiny_path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"tiny\.gguf is a model or another kind of file.*--model"):
        check_adapter(tiny_path, tiny_path)
    with pytest.raises(DataError, match="not a LoRA adapter"):
        check_adapter(write({}, form="control"), tiny_path)
    with pytest.raises(DataError, match=r"is a folder.*`ponder shrink export`"):
        check_adapter(tmp_path, tiny_path)
    with pytest.raises(DataError, match=r"there is no adapter .*gone\.gguf"):
        check_adapter(tmp_path / "gone.gguf", tiny_path)


async def test_the_server_refuses_what_does_not_fit_before_it_starts(
    write: Callable[..., Path], tiny_path: Path
) -> None:
    options = ServerOptions(tiny_path, 1, adapters=(write(pair("blk.0.attn_q.weight", (4, 96), (96, 4))),))
    server = LlamaServer(options)
    with pytest.raises(DataError, match="does not fit"):
        await server.start()
    assert not server.alive
