"""The head of a GGUF file, read to tell what llama.cpp tells late or not at all: whether an adapter fits its base."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ponder.core.errors import DataError

_SCALARS: Mapping[int, str] = {
    0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d",
}  # fmt: skip
_STRING, _ARRAY = 8, 9
_EMBEDDING = "token_embd.weight"


class Head(NamedTuple):
    """What a file says of itself: its fields but for the lists, and the shapes of its tensors, columns first."""

    fields: Mapping[str, str | int | float]
    shapes: Mapping[str, tuple[int, ...]]


def check_gguf(path: Path) -> None:
    """Raise `DataError` unless `path` begins like a GGUF file."""
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except FileNotFoundError:
        raise DataError(f"there is no model file {path}; `ponder model list` shows models to get by name") from None
    except OSError as error:
        raise DataError(f"the model file {path} cannot be read ({error.strerror}); check its rights") from None
    if magic != b"GGUF":
        raise DataError(f"{path} is not a GGUF file (it begins with {magic!r}); convert the model or give another file")


def read_head(path: Path) -> Head:
    """Read the fields and the shapes of a GGUF file, and none of its weights. Raises `DataError`."""
    check_gguf(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        try:
            return _Reader(data).head()
        except (struct.error, IndexError, OverflowError, UnicodeDecodeError):
            raise DataError(f"{path} is cut short or no GGUF file of version 2 or 3; get it again") from None


class _Reader:
    """Walks over a file from its beginning."""

    def __init__(self, data: mmap.mmap) -> None:
        self._data = data
        self._at = 4

    def head(self) -> Head:
        version, tensors, fields = self._one("I"), self._one("Q"), self._one("Q")
        if version not in (2, 3):
            raise IndexError(version)
        found: dict[str, str | int | float] = {}
        for _ in range(fields):
            name = self._text()
            value = self._value(self._one("I"))
            if value is not None:
                found[name] = value
        shapes: dict[str, tuple[int, ...]] = {}
        for _ in range(tensors):
            name = self._text()
            shapes[name] = tuple(self._one("Q") for _ in range(self._one("I")))
            self._one("I"), self._one("Q")
        return Head(found, shapes)

    def _one(self, form: str) -> int:
        (value,) = struct.unpack_from(f"<{form}", self._data, self._at)
        self._at += struct.calcsize(f"<{form}")
        return value  # type: ignore[no-any-return]

    def _text(self) -> str:
        length = self._one("Q")
        start, self._at = self._at, self._at + length
        if self._at > len(self._data):
            raise IndexError(self._at)
        return self._data[start : self._at].decode()

    def _value(self, kind: int) -> str | int | float | None:
        """Return a field's value; None for a list, which is passed over."""
        if kind == _STRING:
            return self._text()
        if kind != _ARRAY:
            return self._one(_scalar(kind))
        inner, count = self._one("I"), self._one("Q")
        if inner == _STRING:
            for _ in range(count):
                self._skip(self._one("Q"))
        else:
            self._skip(count * struct.calcsize(_scalar(inner)))
        return None

    def _skip(self, count: int) -> None:
        self._at += count


def _scalar(kind: int) -> str:
    if kind not in _SCALARS:
        raise IndexError(kind)
    return _SCALARS[kind]


def check_adapter(adapter: Path, base: Path) -> None:
    """Raise `DataError` unless `adapter` is a LoRA adapter all of whose matrices fit the weights of `base`."""
    if not adapter.exists():
        raise DataError(f"there is no adapter {adapter}; check its path")
    if adapter.is_dir():
        raise DataError(
            f"the adapter {adapter} is a folder, and llama.cpp reads GGUF files; make one with `ponder shrink export`, "
            "or open the base as a transformers folder"
        )
    head, model = read_head(adapter), read_head(base)
    if head.fields.get("general.type") != "adapter" or head.fields.get("adapter.type") != "lora":
        raise DataError(f"{adapter} is a model or another kind of file, not a LoRA adapter; open it with --model")
    ours, theirs = (one.fields.get("general.architecture") for one in (head, model))
    if ours != theirs:
        raise _misfit(adapter, base, f"it is made for the architecture {ours}, and the model is a {theirs}")
    for name in head.shapes:
        stem, _, part = name.rpartition(".")
        if part not in ("lora_a", "lora_b") or not {f"{stem}.lora_a", f"{stem}.lora_b"} <= head.shapes.keys():
            raise DataError(f"the adapter {adapter} holds {name}, which is no half of a LoRA pair; export it again")
    for stem in {name.rpartition(".")[0]: None for name in head.shapes}:
        _check_pair(adapter, base, stem, head.shapes, model.shapes.get(stem))


def _check_pair(
    adapter: Path, base: Path, stem: str, shapes: Mapping[str, tuple[int, ...]], weight: tuple[int, ...] | None
) -> None:
    a, b = shapes[f"{stem}.lora_a"], shapes[f"{stem}.lora_b"]
    if weight is None:
        raise _misfit(adapter, base, f"the model has no {stem}")
    if not len(a) == len(b) == len(weight) == 2:
        raise _misfit(adapter, base, f"{stem} is not a matrix in both")
    # Embeddings are looked up by row, so their adapters stand the other way round.
    rank_a, rank_b, change = (a[0], b[0], (b[1], a[1])) if stem == _EMBEDDING else (a[1], b[0], (a[0], b[1]))
    if rank_a != rank_b:
        raise DataError(f"the adapter {adapter} has ranks {rank_a} and {rank_b} at {stem}; export it again")
    if change != weight:
        raise _misfit(
            adapter,
            base,
            f"it changes a {stem} of {change[1]} x {change[0]}, and the model's has {weight[1]} x {weight[0]}",
        )


def _misfit(adapter: Path, base: Path, why: str) -> DataError:
    return DataError(
        f"the adapter {adapter} does not fit {base.name}: {why}; open it with the base that it was made on"
    )
