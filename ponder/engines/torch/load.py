"""Opens a transformers folder: weights from safetensors only, no code of its own, and a clear word on what lacks."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from ponder.core.engine import Think
from ponder.core.errors import DataError, OptionError
from ponder.engines.torch.render import Renderer, Tokenizer, Vocabulary

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "tekken.json")
_LAYERS = {"full_attention", "sliding_attention"}
_WIDE = 256
"""From this hidden size on bfloat16 is quicker than float32, where the processor has it; below, it is slower."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model ready to run.

    `ends` are the ids that end a reply, `words` how many logits there are, `spelled` how many of them belong to tokens:
    the others only fill the matrix up. `context` is the longest sequence.
    """

    model: PreTrainedModel
    tokenizer: Tokenizer
    vocabulary: Vocabulary
    ends: frozenset[int]
    words: int
    spelled: int
    layers: int
    context: int
    device: torch.device

    def renderer(self, where: str, think: Think | None) -> Renderer:
        """Return what turns prompts into this model's ids."""
        return Renderer(self.tokenizer, self.vocabulary, where, think)


def load(path: Path, dtype: str) -> Loaded:
    """Load the model of a folder. Raises `DataError` for a folder that is not whole, `OptionError` for `dtype`."""
    if dtype != "auto" and dtype not in DTYPES:
        raise OptionError(f"dtype = {dtype!r} is not known; it must be auto, {', '.join(DTYPES)}")
    _check_folder(path)
    try:
        config = AutoConfig.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
        vocabulary = _vocabulary(path, tokenizer)
        context, layers = _context(path, config), int(config.get_text_config().num_hidden_layers)
        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        width = int(config.get_text_config().hidden_size)
        model, lacking = _weights(path, config, _dtype(dtype, config.dtype, device, width))
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(f"{path} cannot be loaded by transformers: {_sentence(error)}; get the folder again") from None
    if lacking:
        raise DataError(
            f"{path} lacks {len(lacking)} of the model's weights, {min(lacking)} among them; get the folder again"
        )
    ends = _ends(model.generation_config.eos_token_id) | _ends(tokenizer.eos_token_id)
    words = int(model.get_output_embeddings().weight.shape[0])
    spelled = min(words, len(tokenizer))
    return Loaded(model.to(device).eval(), tokenizer, vocabulary, ends, words, spelled, layers, context, device)


def _check_folder(path: Path) -> None:
    """Raise `DataError` unless the folder holds what a model needs."""
    if path.is_file():
        raise DataError(
            f"{path} is a file; give the folder of a transformers model (or open a GGUF file with llama.cpp)"
        )
    if not path.is_dir():
        raise DataError(f"there is no folder {path}; give the folder of a transformers model")
    if not (path / "config.json").exists():
        adapter = (path / "adapter_config.json").exists()
        what = "is an adapter and no whole model; merge it into its base first" if adapter else "holds no config.json"
        raise DataError(f"{path} {what}; give the folder of a transformers model")
    if not any(path.glob("*.safetensors")):
        if any(path.glob("*.bin")):
            raise DataError(
                f"{path} holds its weights as .bin only, a format that can run code when it is read; "
                "save the model anew with save_pretrained, which writes safetensors"
            )
        raise DataError(f"{path} holds no weights; it needs model.safetensors")
    if not any((path / name).exists() for name in _TOKENIZERS):
        raise DataError(
            f"{path} holds no tokenizer; copy tokenizer.json and tokenizer_config.json from the model's source"
        )
    index = path / "model.safetensors.index.json"
    if index.exists():
        try:
            parts = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        except (ValueError, KeyError):
            raise DataError(f"{index} is broken; get it again from the model's source") from None
        missing = sorted(part for part in parts if not (path / part).exists())
        if missing:
            raise DataError(f"{path} lacks {', '.join(missing)}; get it from the model's source")


def _weights(path: Path, config: PreTrainedConfig, dtype: torch.dtype) -> tuple[PreTrainedModel, set[str]]:
    """Return the model and the names of weights that it lacks: transformers would fill those with random numbers."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model, report = AutoModelForCausalLM.from_pretrained(
            path,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    finally:
        if shown:
            logging.enable_progress_bar()
    return model, set(report["missing_keys"])


def _vocabulary(path: Path, tokenizer: PreTrainedTokenizerBase) -> Vocabulary:
    template = tokenizer.chat_template
    if isinstance(template, dict):
        template = template.get("default")
    if not template:
        raise DataError(f"{path} has no chat template; put the model's chat_template.jinja into the folder")
    added = {token.content: (int(id), bool(token.special)) for id, token in tokenizer.added_tokens_decoder.items()}
    variables = {name: str(value) for name, value in tokenizer.special_tokens_map.items()}
    return Vocabulary(str(template), variables, added)


def _context(path: Path, config: PreTrainedConfig) -> int:
    """Return the longest sequence that is right here: every layer keeps the keys and values of all tokens."""
    text = config.get_text_config().to_dict()
    layers = set(text.get("layer_types") or ())
    try:
        # The attribute knows the field by the names that older configurations give it; the dictionary does not.
        length = None if layers - _LAYERS else config.get_text_config().max_position_embeddings
    except AttributeError:
        length = None
    if not isinstance(length, int):
        raise DataError(
            f"{path} is a {config.model_type} model, which is not one of plain attention with a bounded context; "
            "run it in a server and give its URL"
        )
    window = text.get("sliding_window")
    if isinstance(window, int) and (not layers or "sliding_attention" in layers):
        return min(length, window)
    return length


def _dtype(asked: str, stored: torch.dtype | None, device: torch.device, width: int) -> torch.dtype:
    """Return the type to compute in: what is asked, else the configuration's own where the processor gains from it.

    The type that the weights are stored in says nothing: a small model may be kept in float16 to save space.
    """
    if asked != "auto":
        return DTYPES[asked]
    if stored is None or stored == torch.float32:
        return torch.float32
    if device.type == "cuda":
        return stored
    quick = torch.cpu.get_capabilities() if width >= _WIDE else {}
    return torch.bfloat16 if quick.get("avx512_bf16") or quick.get("amx_bf16") else torch.float32


def _ends(ids: int | list[int] | None) -> frozenset[int]:
    return frozenset(() if ids is None else (ids,) if isinstance(ids, int) else ids)


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()).rstrip(".")[:300]
