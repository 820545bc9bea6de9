"""The shape of a Llama (2302.13971): what it is called and how its weights lie, in transformers and in llama.cpp."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ponder.core.errors import DataError
from ponder.weights.tensors import read_object

_LAYER = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
"""Modules of one layer: transformers' name to llama.cpp's."""


class Place(NamedTuple):
    """Where a module's weight goes: its name there, its shape, and the heads whose rows are reordered (0: none)."""

    name: str
    shape: tuple[int, ...]
    heads: int = 0


@dataclass(frozen=True, slots=True)
class Llama:
    """Sizes of a model; `head` is the width of one attention head, `tied` that the output reuses the embeddings."""

    layers: int
    width: int
    inner: int
    heads: int
    kv_heads: int
    head: int
    words: int
    tied: bool

    def places(self) -> dict[str, Place]:
        """Return the place of every module that has a weight, by transformers' name."""
        q, kv = self.heads * self.head, self.kv_heads * self.head
        shapes = {
            "attn_q": (q, self.width),
            "attn_k": (kv, self.width),
            "attn_v": (kv, self.width),
            "attn_output": (self.width, q),
            "ffn_gate": (self.inner, self.width),
            "ffn_up": (self.inner, self.width),
            "ffn_down": (self.width, self.inner),
        }
        heads = {"attn_q": self.heads, "attn_k": self.kv_heads}
        found = {"model.embed_tokens": Place("token_embd.weight", (self.words, self.width))}
        for layer in range(self.layers):
            for theirs, ours in _LAYER.items():
                place = Place(f"blk.{layer}.{ours}.weight", shapes.get(ours, (self.width,)), heads.get(ours, 0))
                found[f"model.layers.{layer}.{theirs}"] = place
        found["model.norm"] = Place("output_norm.weight", (self.width,))
        if not self.tied:
            found["lm_head"] = Place("output.weight", (self.words, self.width))
        return found


def read_shape(base: Path) -> Llama:
    """Return the sizes of a transformers folder or of a GGUF file. Raises `DataError` for what is no Llama."""
    return _of_gguf(base) if base.is_file() else shape_of(base, read_object(base / "config.json"))


def shape_of(folder: Path, config: Mapping[str, object]) -> Llama:
    """Return the sizes that a config.json tells. Raises `DataError` for variants that llama.cpp computes otherwise."""
    kinds = config.get("architectures")
    if config.get("model_type") != "llama" or kinds not in (None, ["LlamaForCausalLM"]):
        what = kinds[0] if isinstance(kinds, list) and kinds else config.get("model_type", "nameless")
        raise DataError(f"{folder} is a {what} model; only LlamaForCausalLM can be exported")
    for field in ("attention_bias", "mlp_bias"):
        if config.get(field):
            raise DataError(f"{folder} has {field}, which is not exported; train a model without")
    if config.get("hidden_act", "silu") != "silu":
        raise DataError(
            f"{folder} has hidden_act = {config['hidden_act']!r}; llama.cpp computes a Llama with silu only"
        )
    heads = number(folder, config, "num_attention_heads")
    width = number(folder, config, "hidden_size")
    return Llama(
        layers=number(folder, config, "num_hidden_layers"),
        width=width,
        inner=number(folder, config, "intermediate_size"),
        heads=heads,
        kv_heads=number(folder, config, "num_key_value_heads", heads),
        head=number(folder, config, "head_dim", width // heads),
        words=number(folder, config, "vocab_size"),
        tied=bool(config.get("tie_word_embeddings", False)),
    )


def number(folder: Path, config: Mapping[str, object], field: str, default: int | None = None) -> int:
    """Return a positive whole number of a config.json. Raises `DataError` where it has none."""
    value = config.get(field)
    value = default if value is None else value
    if not isinstance(value, int) or value < 1:
        raise DataError(f"{folder / 'config.json'} has {field} = {value!r}; it must be a whole number of at least 1")
    return value


def _of_gguf(file: Path) -> Llama:
    from gguf import GGUFReader

    try:
        reader = GGUFReader(file)
    except (ValueError, OSError, IndexError) as error:
        raise DataError(f"{file} cannot be read as GGUF ({error}); get the file again") from None
    fields = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("tokenizer.")}
    if fields.get("general.architecture") != "llama" or fields.get("general.type", "model") != "model":
        raise DataError(f"{file} is no llama model ({fields.get('general.architecture')}); name the adapter's own base")
    tensors = {tensor.name: tuple(int(edge) for edge in reversed(tensor.shape)) for tensor in reader.tensors}
    try:
        return _sizes(fields, tensors)
    except KeyError as error:
        raise DataError(f"{file} lacks {error.args[0]}; get the file again") from None


def _sizes(fields: Mapping[str, int], tensors: Mapping[str, tuple[int, ...]]) -> Llama:
    heads, width = int(fields["llama.attention.head_count"]), int(fields["llama.embedding_length"])
    return Llama(
        layers=int(fields["llama.block_count"]),
        width=width,
        inner=int(fields["llama.feed_forward_length"]),
        heads=heads,
        kv_heads=int(fields.get("llama.attention.head_count_kv", heads)),
        head=int(fields.get("llama.attention.key_length", width // heads)),
        words=tensors["token_embd.weight"][0],
        tied="output.weight" not in tensors,
    )
