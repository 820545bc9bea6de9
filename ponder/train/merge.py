"""One model out of two: a point on the line or the arc between their weights, or beyond it (CoT-Valve, 2502.09601)."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from ponder.core.errors import DataError, OptionError, nearest
from ponder.weights.lora import CONFIG, Lora, Pair, is_lora, read_lora, save_lora
from ponder.weights.staged import staged_folder
from ponder.weights.tensors import (
    WIDTHS,
    Array,
    Bytes,
    Tensor,
    encode,
    open_weights,
    read_header,
    read_object,
    weight_files,
)

Method = Literal["linear", "slerp"]
Progress = Callable[[int, int], None]

PARALLEL = 0.9995
"""A cosine beyond which an arc is as good as a line, and dividing by its sine would blow up rounding errors."""
_BESIDE = (
    "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "added_tokens.json", "vocab*",
    "merges.txt", "*.jinja", "preprocessor_config.json", "*.safetensors.index.json", "LICENSE*",
)  # fmt: skip
"""What belongs to a model beside its weights; a trainer's state and the model card do not."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What came out: `kind` is "model" or "adapter"; `rank` is that of an adapter.

    `error` is how far the adapter is from the exact result, as a share of it (Frobenius norm over all modules); 0 where
    nothing was cut off.
    """

    kind: Literal["model", "adapter"]
    method: Method
    weight: float
    tensors: int
    rank: int | None = None
    error: float = 0.0


def merge(
    first: Path,
    second: Path,
    out: Path,
    weight: float,
    *,
    method: Method = "linear",
    rank: int | None = None,
    progress: Progress = lambda done, total: None,
) -> Merged:
    """Write first + weight * (second - first) into the new folder `out`.

    Both are transformers folders or both are PEFT LoRA folders; or the second is an adapter of the first, which makes
    first + weight * delta. Of two of a kind a weight of 0 gives the first and 1 the second, bit for bit; below and
    above it extrapolates. What is no weight (tokenizer, template, configuration) comes from the first. `rank` cuts a
    merged adapter down to so many columns; `progress` is told (tensors done, of how many). Raises `DataError` for
    models that do not fit each other, `OptionError` for options; then nothing is written.
    """
    if not math.isfinite(weight):
        raise OptionError(f"weight = {weight} is no number to merge with; 0 is the first model, 1 the second")
    if method not in get_args(Method):
        raise OptionError(
            f"method = {method!r} is not known; it must be linear or slerp{nearest(method, get_args(Method))}"
        )
    if rank is not None and rank < 1:
        raise OptionError(f"rank = {rank} is out of range; it must be at least 1")
    lora = is_lora(first), is_lora(second)
    if lora == (True, False):
        raise OptionError(f"{first} is an adapter and {second} is none; name the base first: ponder merge BASE ADAPTER")
    if rank is not None and lora != (True, True):
        raise OptionError("a rank is for merging two adapters; leave it out")
    if lora == (False, True) and method != "linear":
        raise OptionError("an adapter is added to its base linearly; leave the method out")
    # What overflows is found where it is written, and named there.
    with staged_folder(out) as stage, np.errstate(over="ignore", invalid="ignore"):
        _copy_beside(first, stage)
        if lora == (True, True):
            return _merge_adapters(first, second, stage, weight, method, rank)
        change = _adapter_change(first, second, weight) if lora[1] else _model_change(first, second, weight, method)
        return Merged("model", method, weight, _rewrite(first, stage, change, progress))


# Arithmetic


def linear(a: Array, b: Array, weight: float) -> Array:
    """Return a + weight * (b - a); where both are equal, so is the result."""
    return a + np.float32(weight) * (b - a)


def slerp(a: Array, b: Array, weight: float) -> Array:
    """Return the point on the arc from `a` to `b`, both taken as one long vector; lengths are not made equal before.

    Where they are nearly parallel or opposite, or one is zero, it is the point on the line.
    """
    shares = slerp_shares(_dot(a, a), _dot(a, b), _dot(b, b), weight)
    return np.float32(shares[0]) * a + np.float32(shares[1]) * b if shares else linear(a, b, weight)


def slerp_shares(aa: float, ab: float, bb: float, weight: float) -> tuple[float, float] | None:
    """Return how much of `a` and of `b` to take, given their dot products; None where a line has to do."""
    lengths = math.sqrt(aa * bb)
    cosine = ab / lengths if lengths else 1.0
    if abs(cosine) > PARALLEL:
        return None
    angle = math.acos(cosine)
    return math.sin((1 - weight) * angle) / math.sin(angle), math.sin(weight * angle) / math.sin(angle)


def _dot(a: Array, b: Array) -> float:
    # Summed in float64: a large matrix has more entries than float32 has digits.
    return float(np.einsum("i,i->", a.reshape(-1), b.reshape(-1), dtype=np.float64))


# Whole models


def _model_change(first: Path, second: Path, weight: float, method: Method) -> Callable[[Tensor], Bytes]:
    """Return what makes each tensor of the first model into that of the result."""
    theirs = open_weights(second)
    _check_alike(first, second, open_weights(first), theirs)

    def change(tensor: Tensor) -> Bytes:
        other = theirs[tensor.name]
        if tensor.dtype not in WIDTHS:
            return _same(tensor, other)
        a, b = tensor.read(), other.read()
        if weight == 0:
            return tensor.raw()
        if weight == 1:
            return other.raw() if other.dtype == tensor.dtype else encode(b, tensor.dtype, tensor.name)
        return encode((slerp if method == "slerp" else linear)(a, b, weight), tensor.dtype, tensor.name)

    return change


def _check_alike(first: Path, second: Path, a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> None:
    """Raise `DataError` unless both models are computed alike and have the same tensors."""
    mine, theirs = read_object(first / "config.json"), read_object(second / "config.json")
    for field in ("model_type", "architectures", "num_attention_heads", "num_key_value_heads"):
        if mine.get(field) != theirs.get(field):
            raise DataError(
                f"{first} and {second} are different models: {field} is {mine.get(field)} and {theirs.get(field)}"
            )
    for field, here, there in (
        ("hidden_act", mine.get("hidden_act"), theirs.get("hidden_act")),
        ("rope_theta", _rope(mine, "rope_theta"), _rope(theirs, "rope_theta")),
        ("rope_type", _rope(mine, "rope_type") or "default", _rope(theirs, "rope_type") or "default"),
    ):
        if here is not None and there is not None and here != there:
            raise DataError(
                f"{first} and {second} compute differently: {field} is {here} and {there}, so that weights between "
                "theirs mean nothing; merge models that agree in it"
            )
    for one, other, names in ((first, second, a.keys() - b.keys()), (second, first, b.keys() - a.keys())):
        if names:
            raise DataError(f"{one} has weights that {other} has not: {_some(names)}; merge models of one kind")
    unlike = [name for name in a if a[name].shape != b[name].shape]
    if unlike:
        name = min(unlike)
        raise DataError(
            f"{first} and {second} differ in the shapes of {_some(set(unlike))}: {a[name].shape} and {b[name].shape} "
            f"for {name}; merge models of one size and vocabulary"
        )


def _rope(config: Mapping[str, object], field: str) -> object:
    """Return a setting of the rotary position code, which stands where the version of transformers puts it."""
    for name in ("rope_parameters", "rope_scaling"):
        nested = config.get(name)
        if isinstance(nested, dict):
            found = nested.get(field, nested.get("type") if field == "rope_type" else None)
            if found is not None:
                return found
    return config.get(field)


def _some(names: set[str]) -> str:
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(sorted(names)[:3]) + more


def _same(tensor: Tensor, other: Tensor) -> Bytes:
    """Return whole numbers and the like, which have no in-between."""
    data = tensor.raw()
    if tensor.dtype != other.dtype or not np.array_equal(data, other.raw()):
        raise DataError(
            f"{tensor.name} is of type {tensor.dtype} and differs; only floating-point weights can be merged"
        )
    return data


def _adapter_change(base: Path, adapter: Path, weight: float) -> Callable[[Tensor], Bytes]:
    """Return what adds an adapter to each tensor of its base."""
    lora, tensors = read_lora(adapter), open_weights(base)
    if lora.config.get("fan_in_fan_out"):
        raise DataError(f"{adapter} was made for weights that lie the other way round; merge it with PEFT")
    for module, pair in lora.pairs.items():
        tensor = tensors.get(f"{module}.weight")
        if tensor is None or tensor.shape != pair.shape:
            here = "is not there" if tensor is None else f"is {tensor.shape}"
            raise DataError(
                f"{adapter} was made for another base: {module} is {pair.shape} there, and {here} in {base}"
            )

    def change(tensor: Tensor) -> Bytes:
        pair = lora.pairs.get(tensor.name.removesuffix(".weight"))
        if pair is None or weight == 0:
            return tensor.raw()
        return encode(tensor.read() + np.float32(weight) * pair.delta(), tensor.dtype, tensor.name)

    return change


def _rewrite(first: Path, stage: Path, change: Callable[[Tensor], Bytes], progress: Progress) -> int:
    """Write the first model's files anew, one tensor after the other, and return how many there are."""
    headers = [(file, *read_header(file)) for file in weight_files(first)]
    total = sum(len(tensors) for _, _, tensors in headers)
    done = 0
    for file, head, tensors in headers:
        with (stage / file.name).open("wb") as stream:
            stream.write(head)
            for tensor in tensors:
                change(tensor).tofile(stream)
                done += 1
                progress(done, total)
    return total


def _copy_beside(first: Path, stage: Path) -> None:
    for file in {file for pattern in _BESIDE for file in first.glob(pattern) if file.is_file()}:
        shutil.copyfile(file, stage / file.name)


# Adapters


def _merge_adapters(first: Path, second: Path, stage: Path, weight: float, method: Method, rank: int | None) -> Merged:
    a, b = read_lora(first), read_lora(second)
    _check_one_base(a, b)
    if rank is None and weight in (0, 1):
        source = b if weight else a
        for file in (*weight_files(source.folder, "adapter_model"), source.folder / CONFIG):
            shutil.copyfile(file, stage / file.name)
        widest = max(pair.rank for pair in source.pairs.values())
        return Merged("adapter", method, weight, len(source.pairs), widest)
    pairs = {
        module: _combine(a.pairs.get(module), b.pairs.get(module), weight, method)
        for module in sorted(a.pairs.keys() | b.pairs.keys())
    }
    lost = whole = 0.0
    if rank is not None:
        for module, pair in pairs.items():
            pairs[module], cut, norm = truncate(pair, rank)
            lost, whole = lost + cut, whole + norm
    widest = max(pair.rank for pair in pairs.values())
    save_lora(stage, a, {module: _pad(pair, widest) for module, pair in pairs.items()})
    return Merged("adapter", method, weight, len(pairs), widest, math.sqrt(lost / whole) if lost else 0.0)


def _check_one_base(a: Lora, b: Lora) -> None:
    for module in sorted(a.pairs.keys() & b.pairs.keys()):
        mine, theirs = a.pairs[module].shape, b.pairs[module].shape
        if mine != theirs:
            raise DataError(
                f"{a.folder} and {b.folder} were made for different bases: {module} is {mine} and {theirs}; "
                "merge adapters of one base"
            )


def _combine(a: Pair | None, b: Pair | None, weight: float, method: Method) -> Pair:
    """Return the pair whose product is the mixture of both products: side by side, the factors lose nothing."""
    shares = None
    if method == "slerp" and a and b:
        shares = slerp_shares(_product_dot(a, a), _product_dot(a, b), _product_dot(b, b), weight)
    mixture = zip((a, b), shares or (1 - weight, weight), strict=True)
    parts = [(pair, share * pair.scale) for pair, share in mixture if pair]
    columns = [pair.b * np.float32(share) for pair, share in parts]
    return Pair(np.concatenate([pair.a for pair, _ in parts]), np.concatenate(columns, axis=1), 1.0)


def _product_dot(a: Pair, b: Pair) -> float:
    """Return the dot product of two deltas without making either."""
    wide = a.a.astype(np.float64) @ b.a.T.astype(np.float64)
    tall = a.b.T.astype(np.float64) @ b.b.astype(np.float64)
    return float(a.scale * b.scale * (wide * tall).sum())


def truncate(pair: Pair, rank: int) -> tuple[Pair, float, float]:
    """Return the nearest pair of at most `rank`, the squared norm of what is lost, and that of the whole."""
    if pair.rank <= rank:
        return pair, 0.0, float(_product_dot(pair, pair))
    # The singular values of a product of two thin matrices are those of a small square one.
    tall, r_b = np.linalg.qr(pair.b.astype(np.float64) * pair.scale)
    wide, r_a = np.linalg.qr(pair.a.T.astype(np.float64))
    u, s, v = np.linalg.svd(r_b @ r_a.T)
    root = np.sqrt(s[:rank])
    b = (tall @ (u[:, :rank] * root)).astype(np.float32)
    a = ((root[:, None] * v[:rank]) @ wide.T).astype(np.float32)
    return Pair(a, b, 1.0), float((s[rank:] ** 2).sum()), float((s**2).sum())


def _pad(pair: Pair, rank: int) -> Pair:
    """Return the pair with rows and columns of zeros up to a rank: an adapter has one rank for all modules."""
    more = rank - pair.rank
    return Pair(np.pad(pair.a, ((0, more), (0, 0))), np.pad(pair.b, ((0, 0), (0, more))), pair.scale)
