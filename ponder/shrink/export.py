"""Export to GGUF, the one file that llama.cpp runs: whole Llama models, and LoRA adapters (2106.09685) of a base."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ponder.core.errors import DataError, OptionError, nearest
from ponder.shrink.architecture import Llama, Place, number, read_shape, shape_of
from ponder.shrink.vocabulary import Vocabulary, read_vocabulary
from ponder.weights.lora import CONFIG, Lora, Pair, is_lora, read_lora
from ponder.weights.staged import staged_file
from ponder.weights.tensors import Array, Bytes, Tensor, encode, open_weights, read_object

if TYPE_CHECKING:
    from gguf import GGUFWriter

TYPES = {"f32": "F32", "f16": "F16", "bf16": "BF16", "q8_0": "Q8_0"}
"""Types of weights that can be written, and GGUF's names of them. Vectors are always float32."""
ADAPTER_TYPES = ("f32", "f16", "bf16")
"""Types that an adapter can have: its factors are too narrow for blocks."""
_BLOCK = 32
"""Values that share one scale in q8_0."""

Part = tuple[Place, Callable[[], Array]]
"""Where a tensor goes, and what reads it."""


def export_model(
    folder: Path, out: Path, type: str = "f16", progress: Callable[[int, int], None] = lambda done, total: None
) -> None:
    """Write a transformers folder of a Llama, with its tokenizer and chat template, as a GGUF file.

    `type` is one of `TYPES`; `progress` is told (tensors done, of how many). One tensor at a time is in memory. Raises
    `DataError` for what llama.cpp could not run alike, `OptionError` for an unknown type; then no file is written.
    """
    _check_type(type, tuple(TYPES))
    if is_lora(folder):
        raise DataError(f"{folder} is an adapter; name its base as well (--base), or merge it into its base first")
    config = read_object(folder / "config.json")
    llama = shape_of(folder, config)
    tensors = _match(folder, llama.places(), open_weights(folder), type)
    vocabulary = read_vocabulary(folder, llama.words)
    with staged_file(out) as stage:
        writer = _writer(stage, folder.resolve().name)
        _write_settings(writer, folder, llama, config, type)
        _write_vocabulary(writer, vocabulary)
        parts = [(place, partial(_read, tensor, place)) for tensor, place in tensors]
        _write(writer, parts, type, progress)


def export_adapter(folder: Path, base: Path, out: Path, type: str = "f16") -> None:
    """Write a PEFT LoRA folder as llama.cpp's LoRA file. `base` is its base: a transformers folder or a GGUF file.

    At scale 1 llama.cpp adds what PEFT adds. Raises `DataError` for modules that llama.cpp cannot adapt and for an
    adapter that does not fit the base, `OptionError` for an unknown type; then no file is written.
    """
    _check_type(type, ADAPTER_TYPES)
    lora = read_lora(folder)
    alpha = _alpha(lora)
    parts: list[Part] = []
    for module, place in _adapted(lora, base, read_shape(base)).items():
        a, b = _factors(lora.pairs[module], place, alpha)
        parts.append((Place(f"{place.name}.lora_a", a.shape), partial(np.asarray, a)))
        parts.append((Place(f"{place.name}.lora_b", b.shape), partial(np.asarray, b)))
    with staged_file(out) as stage:
        writer = _writer(stage, folder.resolve().name)
        writer.add_type("adapter")
        writer.add_string("adapter.type", "lora")
        writer.add_float32("adapter.lora.alpha", alpha)
        _write(writer, parts, type, lambda done, total: None)


def _check_type(type: str, known: tuple[str, ...]) -> None:
    """Raise `OptionError` for a type that cannot be written, and where nothing can."""
    if type not in known:
        raise OptionError(f"type = {type!r} is not known; it must be one of {', '.join(known)}{nearest(type, known)}")
    if find_spec("gguf") is None:
        raise OptionError("writing GGUF files needs the package gguf: pip install 'ponder[train]' brings it")


def _match(
    folder: Path, places: Mapping[str, Place], tensors: Mapping[str, Tensor], type: str
) -> list[tuple[Tensor, Place]]:
    """Return each weight with its place, in llama.cpp's order. Raises `DataError` unless they are just these."""
    wanted = {f"{module}.weight": place for module, place in places.items()}
    # Older checkpoints hold the angles of the position code, and some tied ones their output: both are derived.
    derived = {name for name in tensors if name.endswith("rotary_emb.inv_freq") or name == "lm_head.weight"}
    for what, names in (
        ("lacks", wanted.keys() - tensors.keys()),
        ("has more than a Llama:", tensors.keys() - wanted.keys() - derived),
    ):
        if names:
            raise DataError(f"{folder} {what} {', '.join(sorted(names)[:3])} ({len(names)} in all); get it again")
    for name, place in wanted.items():
        if tensors[name].shape != place.shape:
            raise DataError(f"{folder}: {name} has shape {tensors[name].shape}, and config.json says {place.shape}")
        if type == "q8_0" and len(place.shape) == 2 and place.shape[1] % _BLOCK:
            raise DataError(f"{name} has rows of {place.shape[1]}, no multiple of {_BLOCK}; write f16 instead of q8_0")
    return [(tensors[name], place) for name, place in wanted.items()]


def _adapted(lora: Lora, base: Path, llama: Llama) -> dict[str, Place]:
    """Return the place of each adapted module. Raises `DataError` for one that does not fit."""
    places = llama.places()
    found = {}
    for module, pair in lora.pairs.items():
        place = places.get(module)
        if place is None or len(place.shape) != 2 or module == "model.embed_tokens":
            raise DataError(
                f"{lora.folder} adapts {module}, which llama.cpp cannot in this base; "
                "train it on the linear layers of attention and MLP alone"
            )
        if pair.shape != place.shape:
            raise DataError(
                f"{lora.folder} was made for another base: {module} is {pair.shape} there, {place.shape} in {base}"
            )
        found[module] = place
    return found


def _alpha(lora: Lora) -> float:
    alpha = lora.config.get("lora_alpha")
    if not isinstance(alpha, int | float) or alpha <= 0:
        raise DataError(f"{lora.folder / CONFIG} has lora_alpha = {alpha!r}; it must be above 0")
    return float(alpha)


def _factors(pair: Pair, place: Place, alpha: float) -> tuple[Array, Array]:
    """Return both factors for llama.cpp, which scales all pairs by alpha / rank; what is left goes into `b`."""
    rest = pair.scale * pair.rank / alpha
    b = pair.b if rest == 1 else pair.b * np.float32(rest)
    return pair.a, _reorder(b, place.heads)


def _read(tensor: Tensor, place: Place) -> Array:
    return _reorder(tensor.read(), place.heads)


def _reorder(values: Array, heads: int) -> Array:
    """Return rows in llama.cpp's order: it rotates neighbours, transformers the two halves of a head."""
    if not heads:
        return values
    rows = values.reshape(heads, 2, values.shape[0] // heads // 2, -1)
    return np.ascontiguousarray(rows.swapaxes(1, 2)).reshape(values.shape)


def _writer(stage: Path, name: str) -> GGUFWriter:
    from gguf import GGUFWriter

    writer = GGUFWriter(stage, "llama")
    writer.add_name(name)
    return writer


def _write_settings(writer: GGUFWriter, folder: Path, llama: Llama, config: Mapping[str, object], type: str) -> None:
    from gguf import LlamaFileType

    files = {
        "f32": LlamaFileType.ALL_F32,
        "f16": LlamaFileType.MOSTLY_F16,
        "bf16": LlamaFileType.MOSTLY_BF16,
        "q8_0": LlamaFileType.MOSTLY_Q8_0,
    }
    writer.add_type("model")
    writer.add_file_type(files[type])
    writer.add_block_count(llama.layers)
    writer.add_context_length(number(folder, config, "max_position_embeddings"))
    writer.add_embedding_length(llama.width)
    writer.add_feed_forward_length(llama.inner)
    writer.add_head_count(llama.heads)
    writer.add_head_count_kv(llama.kv_heads)
    writer.add_key_length(llama.head)
    writer.add_value_length(llama.head)
    writer.add_rope_dimension_count(llama.head)
    writer.add_rope_freq_base(_theta(folder, config))
    writer.add_layer_norm_rms_eps(_positive(folder, "rms_norm_eps", config.get("rms_norm_eps", 1e-6)))
    writer.add_vocab_size(llama.words)


def _theta(folder: Path, config: Mapping[str, object]) -> float:
    """Return the base of the rotary position code. Raises `DataError` for one that is stretched."""
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = (rope.get("rope_type") or rope.get("type") or "default") if isinstance(rope, dict) else rope
    if kind != "default" or not isinstance(rope, dict):
        raise DataError(f"{folder} stretches its position code ({kind}), which is not exported")
    return _positive(folder, "rope_theta", rope.get("rope_theta", config.get("rope_theta", 10_000.0)))


def _positive(folder: Path, field: str, value: object) -> float:
    if not isinstance(value, int | float) or value <= 0:
        raise DataError(f"{folder / 'config.json'} has {field} = {value!r}; it must be a number above 0")
    return float(value)


def _write_vocabulary(writer: GGUFWriter, vocabulary: Vocabulary) -> None:
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary.pre)
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_add_bos_token(vocabulary.add_bos)
    writer.add_add_space_prefix(False)
    for id, add in zip(
        vocabulary.ends, (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id), strict=False
    ):
        add(id)
    # Without a begin mark llama.cpp takes token 11 for one; the end mark is what others put there.
    writer.add_bos_token_id(vocabulary.ends[0] if vocabulary.bos is None else vocabulary.bos)
    if vocabulary.pad is not None:
        writer.add_pad_token_id(vocabulary.pad)
    if vocabulary.unk is not None:
        writer.add_unk_token_id(vocabulary.unk)
    if vocabulary.template:
        writer.add_chat_template(vocabulary.template)


def _write(
    writer: GGUFWriter,
    parts: Sequence[Part],
    type: str,
    progress: Callable[[int, int], None],
) -> None:
    """Write the header, then one tensor after the other."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    for place, _ in parts:
        kind = GGMLQuantizationType[TYPES[_type(place, type)]]
        block, size = GGML_QUANT_SIZES[kind]
        values = int(np.prod(place.shape))
        writer.add_tensor_info(place.name, place.shape, np.dtype(np.float32), values // block * size, kind)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for done, (place, read) in enumerate(parts, 1):
            writer.write_tensor_data(_stored(read(), _type(place, type), place.name))
            progress(done, len(parts))
    finally:
        writer.close()


def _type(place: Place, type: str) -> str:
    return type if len(place.shape) == 2 else "f32"


def _stored(values: Array, type: str, name: str) -> Bytes:
    """Return values as GGUF stores them."""
    if type != "q8_0":
        return encode(values, TYPES[type], name)
    from gguf import GGMLQuantizationType, quants

    packed: Bytes = quants.quantize(values, GGMLQuantizationType.Q8_0)
    return packed.reshape(-1)
