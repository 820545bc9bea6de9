"""Opens a model to train: a transformers folder, or a GGUF file, whose weights are unpacked once and kept."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from ponder.core.errors import DataError
from ponder.train.loops.settings import SFT

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TEMPLATE = "chat_template.jinja"


def open_model(
    path: Path, name: str, settings: SFT, template: Path | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Return the model of a transformers folder, and its tokenizer; `name` is what the result will call its base.

    Raises `DataError` for a folder that cannot be loaded and for a chat template that is missing.
    """
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ponder.train.loops.quiet import quiet

    if not (path / "config.json").exists():
        raise DataError(f"{path} holds no config.json; give the folder of a transformers model, or a GGUF file")
    text = None if template is None else _read(template)
    dtype = torch.bfloat16 if settings.lora and settings.dtype != "float32" and bfloat16_is_quick() else torch.float32
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(path, local_files_only=True, trust_remote_code=False)
            model, report = AutoModelForCausalLM.from_pretrained(
                path,
                dtype=dtype,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
    except (OSError, ValueError, KeyError, SafetensorError) as error:
        raise DataError(f"{path} cannot be loaded by transformers: {' '.join(str(error).split())[:300]}") from None
    if report["missing_keys"]:
        raise DataError(f"{path} lacks weights, {min(report['missing_keys'])} among them; get the folder again")
    if text is not None:
        tokenizer.chat_template = text
    if not tokenizer.chat_template:
        raise DataError(f"{path} has no chat template; put its {TEMPLATE} there, or give one with --chat-template FILE")
    model.name_or_path = name
    return model, tokenizer


def unpacked(file: Path, cache: Path) -> Path:
    """Return the transformers folder of a GGUF file, in bfloat16; it is made at the first call and kept in `cache`.

    Raises `DataError` for a file that cannot be read, and where there is no room.
    """
    try:
        with file.open("rb") as source:
            digest = hashlib.file_digest(source, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{file} cannot be read: {error.strerror}") from None
    folder = cache / f"{file.stem}-{digest[:12]}"
    if not folder.exists():
        part = cache / f".{folder.name}.{os.getpid()}"
        try:
            cache.mkdir(parents=True, exist_ok=True)
            _unpack(file, part)
            os.replace(part, folder)
        except OSError as error:
            # Another process was first, with the same weights.
            if not folder.exists():
                raise DataError(f"{file} cannot be unpacked into {cache} ({error.strerror}); make room there") from None
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return folder


def bfloat16_is_quick() -> bool:
    """Return whether this machine multiplies in bfloat16 at least as fast as in float32.

    A processor needs instructions of its own for it, AVX512-BF16 or AMX; without them it is twenty times slower.
    """
    import torch

    found = torch.cpu.get_capabilities()
    return bool(torch.cuda.is_available() or found.get("avx512_bf16") or found.get("amx_bf16"))


def _unpack(file: Path, folder: Path) -> None:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from ponder.train.loops.finish import usual_mode
    from ponder.train.loops.quiet import quiet

    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
            model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.bfloat16)
            # The weights are no longer quantized; what says so would send the next loader looking for a GGUF file.
            model.hf_quantizer = None
            vars(model.config).pop("quantization_config", None)
            model.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        usual_mode(folder)
    except ImportError as error:
        raise DataError(
            f"{file} cannot be unpacked: {error.msg}; pip install 'ponder[train]' brings what is needed"
        ) from None
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise DataError(f"{file} cannot be unpacked by transformers: {' '.join(str(error).split())[:300]}") from None


def _read(template: Path) -> str:
    try:
        return template.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{template} cannot be read as a chat template: {error}") from None
