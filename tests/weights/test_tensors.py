from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import DataError
from ponder.weights.tensors import decode, encode, open_weights, read_header, read_object, save_tensors


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    save_tensors(path, {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array(7, np.float32)})
    return path


def rewrite(file: Path, header: object, data: bytes = b"") -> None:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text + data)


def test_what_is_saved_is_read(file: Path) -> None:
    tensors = open_weights(file.parent)
    assert list(tensors) == ["b", "a"]
    assert tensors["b"].read().tolist() == [[0, 1, 2], [3, 4, 5]]
    assert tensors["a"].read().shape == ()
    assert tensors["b"].raw().tobytes() == np.arange(6, dtype="<f4").tobytes()
    assert (tensors["b"].start % 8, file.stat().st_size) == (0, tensors["a"].start + 4)


def test_tensors_come_in_the_order_of_their_data(file: Path) -> None:
    entries = {name: {"dtype": "F32", "shape": [1], "data_offsets": at} for name, at in (("a", [4, 8]), ("b", [0, 4]))}
    rewrite(file, {"__metadata__": {"format": "pt"}, **entries}, b"\0" * 8)
    head, tensors = read_header(file)
    assert [tensor.name for tensor in tensors] == ["b", "a"]
    assert file.read_bytes().startswith(head)
    assert tensors[0].start == len(head)


@pytest.mark.parametrize(
    ("value", "bits"),
    [
        (1.0, 0x3F80),
        (-2.0, 0xC000),
        (1.00390625, 0x3F80),
        (1.01171875, 0x3F82),
        (1.003907, 0x3F81),
        (0.0, 0),
        (-0.0, 0x8000),
    ],
)
def test_bfloat16_is_rounded_to_nearest_even(value: float, bits: int) -> None:
    assert encode(np.array([value], np.float32), "BF16", "x").view("<u2")[0] == bits


@given(st.integers(0, 0xFFFF).filter(lambda bits: bits & 0x7F80 != 0x7F80))
def test_every_bfloat16_survives(bits: int) -> None:
    stored = np.array([bits], "<u2").view(np.uint8)
    assert encode(decode(stored, "BF16"), "BF16", "x").tobytes() == stored.tobytes()


@given(st.floats(width=16, allow_nan=False, allow_infinity=False))
def test_every_float16_survives(value: float) -> None:
    stored = np.array([value], "<f2").view(np.uint8)
    assert encode(decode(stored, "F16"), "F16", "x").tobytes() == stored.tobytes()


@pytest.mark.parametrize(("dtype", "value"), [("F16", 65520.0), ("BF16", 3.4e38), ("F32", np.inf), ("BF16", np.nan)])
def test_what_a_type_cannot_hold_is_refused(dtype: str, value: float) -> None:
    with pytest.raises(DataError, match=f"w.weight has values beyond the range of {dtype}"):
        encode(np.array([1, value], np.float32), dtype, "w.weight")


def test_nan_is_refused_where_it_is_read(file: Path) -> None:
    rewrite(file, {"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, np.array([np.nan], "<f4").tobytes())
    with pytest.raises(DataError, match=r"model.safetensors: a holds NaN"):
        open_weights(file.parent)["a"].read()


def test_types_that_are_no_weights_are_listed_but_not_read(file: Path) -> None:
    rewrite(file, {"a": {"dtype": "I64", "shape": [2], "data_offsets": [0, 16]}}, b"\1" * 16)
    tensor = open_weights(file.parent)["a"]
    assert tensor.raw().tobytes() == b"\1" * 16
    with pytest.raises(DataError, match="a is of type I64; convert the weights to one of F32, F16, BF16"):
        tensor.read()


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("header", "data", "message"),
    [
        (b"{", b"", "broken header"),
        ([1], b"", "broken header"),
        ({"a": {"dtype": "F32"}}, b"", "broken header"),
        ({"a": ONE}, b"\0" * 3, "has 72 bytes where its header promises 73"),
        ({"a": ONE}, b"\0" * 5, "has 74 bytes where its header promises 73"),
        ({"a": ONE | {"shape": [2]}}, b"\0" * 4, "the place of a does not fit its shape"),
        ({"a": ONE | {"data_offsets": [4, 8]}}, b"\0" * 8, "the place of a does not fit its shape"),
        ({"a": ONE, "b": ONE}, b"\0" * 4, "the place of b does not fit its shape"),
    ],
)
def test_broken_files_are_refused(file: Path, header: object, data: bytes, message: str) -> None:
    rewrite(file, header, data)
    with pytest.raises(DataError, match=message):
        open_weights(file.parent)


@pytest.mark.parametrize(
    "data", [b"", b"1234567", b"\xff" * 8, (1 << 40).to_bytes(8, "little") + b"{}", b"GGUF" + b"\0" * 40]
)
def test_other_files_are_refused(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    with pytest.raises(DataError, match=r"cut short or is no safetensors file|broken header"):
        open_weights(file.parent)


def test_folders_that_are_not_whole_are_refused(file: Path) -> None:
    folder = file.parent
    index = folder / "model.safetensors.index.json"
    index.write_text('{"weight_map": {"a": "one.safetensors", "b": "../model.safetensors", "c": "two.safetensors"}}')
    with pytest.raises(DataError, match=r"lacks one.safetensors, two.safetensors; get the missing files"):
        open_weights(folder)
    index.write_text('{"weight_map": [1]}')
    with pytest.raises(DataError, match="has no weight_map"):
        open_weights(folder)
    index.unlink()
    file.rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match=r"as \.bin only"):
        open_weights(folder)
    (folder / "pytorch_model.bin").unlink()
    with pytest.raises(DataError, match=r"holds no weights; it needs adapter_model\.safetensors"):
        open_weights(folder, "adapter_model")


def test_a_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    """It is not mistaken for the output, in whose block it is read."""
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(DataError, match=r"model\.safetensors cannot be read \(Is a directory\)"):
        open_weights(tmp_path)


def test_json_that_is_no_object_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    with pytest.raises(DataError, match=r"holds no config.json; is it the right folder\?"):
        read_object(file)
    for text, message in (
        ("[]", "holds no JSON object"),
        ("{", "cannot be read as JSON"),
        ("\ud800", "cannot be read"),
    ):
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        with pytest.raises(DataError, match=message):
            read_object(file)
