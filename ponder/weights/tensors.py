"""Weights one tensor at a time: safetensors files are read by name, so that no model has to fit into memory."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ponder.core.errors import DataError

Array = npt.NDArray[np.float32]
Bytes = npt.NDArray[np.uint8]

WIDTHS = {"F32": 4, "F16": 2, "BF16": 2}
"""The types of weights that are understood, and their bytes."""
_AGAIN = "get the file again"
_LONGEST_HEADER = 100_000_000
"""Bytes; what the format itself allows."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """Where a tensor lies: `start` and `size` are bytes in `file`, `dtype` is the format's own name of the type."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    file: Path
    start: int
    size: int

    def raw(self) -> Bytes:
        """Return the bytes as they are stored."""
        return np.fromfile(self.file, np.uint8, self.size, offset=self.start)

    def read(self) -> Array:
        """Return the values as float32, in the tensor's shape. Raises `DataError` for NaN, infinities, other types."""
        if self.dtype not in WIDTHS:
            raise DataError(
                f"{self.file}: {self.name} is of type {self.dtype}; convert the weights to one of {', '.join(WIDTHS)}"
            )
        values = decode(self.raw(), self.dtype).reshape(self.shape)
        if not np.isfinite(values).all():
            raise DataError(f"{self.file}: {self.name} holds NaN or infinite values; take an earlier checkpoint")
        return values


def decode(data: Bytes, dtype: str) -> Array:
    """Return stored values of a type in `WIDTHS` as float32."""
    if dtype == "BF16":
        # bfloat16 is the upper half of a float32; numpy has no type for it.
        return (data.view("<u2").astype("<u4") << 16).view("<f4")
    return data.view("<f4" if dtype == "F32" else "<f2").astype(np.float32, copy=False)


def encode(values: Array, dtype: str, name: str) -> Bytes:
    """Return float32 values as bytes of a type in `WIDTHS`, rounded to nearest even. Raises `DataError` on overflow."""
    if dtype == "BF16":
        bits = np.ascontiguousarray(values, "<f4").view("<u4")
        half = ((bits + (0x7FFF + ((bits >> 16) & 1))) >> 16).astype("<u2")
        finite = bool(np.isfinite(values).all() and ((half & 0x7F80) != 0x7F80).all())
        stored: Bytes = half.view(np.uint8)
    else:
        with np.errstate(over="ignore"):
            number = np.ascontiguousarray(values, "<f4" if dtype == "F32" else "<f2")
        finite = bool(np.isfinite(number).all())
        stored = number.view(np.uint8)
    if not finite:
        raise DataError(f"{name} has values beyond the range of {dtype}; take a wider type or a smaller weight")
    return stored.reshape(-1)


def open_weights(folder: Path, stem: str = "model") -> dict[str, Tensor]:
    """Return the tensors of a folder, those of one file together and in the order in which they lie there.

    `stem` is `model` for a transformers folder and `adapter_model` for one of PEFT; sharded files are found by their
    index. Raises `DataError` for a folder without safetensors and for broken files.
    """
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder, stem):
        tensors |= {tensor.name: tensor for tensor in read_header(file)[1]}
    return tensors


def weight_files(folder: Path, stem: str = "model") -> list[Path]:
    """Return the safetensors files of a folder. Raises `DataError` where one is missing."""
    index = folder / f"{stem}.safetensors.index.json"
    single = folder / f"{stem}.safetensors"
    if index.exists():
        parts = read_object(index).get("weight_map")
        if not isinstance(parts, dict) or not all(isinstance(part, str) for part in parts.values()):
            raise DataError(f"{index} has no weight_map; {_AGAIN}")
        files = [folder / Path(part).name for part in sorted(set(parts.values()))]
    elif single.exists():
        files = [single]
    elif any(folder.glob("*.bin")) or any(folder.glob("*.pt")):
        raise DataError(
            f"{folder} holds its weights as .bin only, a format that can run code when it is read; "
            "save them anew with save_pretrained, which writes safetensors"
        )
    else:
        raise DataError(f"{folder} holds no weights; it needs {single.name}")
    missing = [file.name for file in files if not file.exists()]
    if missing:
        raise DataError(f"{folder} lacks {', '.join(missing)}; get the missing files from the model's source")
    return files


def read_header(file: Path) -> tuple[bytes, list[Tensor]]:
    """Return the bytes before the data and the tensors in the order of their data. Raises `DataError`."""
    try:
        size = file.stat().st_size
        with file.open("rb") as stream:
            head = stream.read(8)
            length = int.from_bytes(head, "little")
            if len(head) < 8 or length > min(size - 8, _LONGEST_HEADER):
                raise DataError(f"{file} is cut short or is no safetensors file; {_AGAIN}")
            head += stream.read(length)
    except OSError as error:
        raise DataError(f"{file} cannot be read ({error.strerror or error}); check its rights") from None
    try:
        tensors = sorted(
            _tensors(file, len(head), json.loads(head[8:])), key=lambda tensor: (tensor.start, tensor.size)
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise DataError(f"{file} has a broken header; {_AGAIN}") from None
    place = len(head)
    for tensor in tensors:
        width = WIDTHS.get(tensor.dtype)
        misfit = width is not None and tensor.size != width * math.prod(tensor.shape)
        if tensor.start != place or misfit:
            raise DataError(f"{file}: the place of {tensor.name} does not fit its shape; {_AGAIN}")
        place += tensor.size
    if place != size:
        raise DataError(f"{file} has {size:,} bytes where its header promises {place:,}; {_AGAIN}")
    return head, tensors


def _tensors(file: Path, place: int, header: Mapping[str, Mapping[str, list[int]]]) -> Iterator[Tensor]:
    for name, entry in header.items():
        if name != "__metadata__":
            start, end = entry["data_offsets"]
            shape = tuple(int(edge) for edge in entry["shape"])
            yield Tensor(name, str(entry["dtype"]), shape, file, place + int(start), int(end) - int(start))


def save_tensors(file: Path, tensors: Mapping[str, Array]) -> None:
    """Write float32 tensors as one safetensors file, in the order given."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, values in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(values.shape), "data_offsets": [place, place + values.nbytes]}
        place += values.nbytes
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with file.open("wb") as stream:
        stream.write(len(text).to_bytes(8, "little") + text)
        for name, values in tensors.items():
            stream.write(encode(values, "F32", name).tobytes())


def read_object(file: Path) -> dict[str, object]:
    """Return the object that a JSON file holds. Raises `DataError`."""
    try:
        value = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{file.parent} holds no {file.name}; is it the right folder?") from None
    except (ValueError, OSError) as error:
        raise DataError(f"{file} cannot be read as JSON ({error}); {_AGAIN}") from None
    if not isinstance(value, dict):
        raise DataError(f"{file} holds no JSON object; {_AGAIN}")
    return value
