"""A small random Llama with a byte-level tokenizer, and LoRA adapters for it, written as transformers and PEFT do.

Plain JSON and numbers, so that tests need neither package; those that have them load the same folders.
"""

from __future__ import annotations

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import numpy as np

from ponder.weights.tensors import Array, save_tensors

WIDTH, INNER, LAYERS, HEADS, KV_HEADS, HEAD = 64, 96, 2, 4, 2, 16
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = "What is 12 + 30? Wait, think again: the answer is 42. 小明有三个苹果，又买了两个。答案是五。 Hearts: ❤ ✰ ❤"
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
MARKS = ("<think>", "</think>")
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
SMOLLM = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTE_LEVEL]}

SHAPES = {
    "self_attn.q_proj": (HEADS * HEAD, WIDTH),
    "self_attn.k_proj": (KV_HEADS * HEAD, WIDTH),
    "self_attn.v_proj": (KV_HEADS * HEAD, WIDTH),
    "self_attn.o_proj": (WIDTH, HEADS * HEAD),
    "mlp.gate_proj": (INNER, WIDTH),
    "mlp.up_proj": (INNER, WIDTH),
    "mlp.down_proj": (WIDTH, INNER),
}


def alphabet() -> dict[int, str]:
    """Return the character that byte-level BPE writes for each byte."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return {byte: chr(byte) for byte in shown} | {byte: chr(256 + i) for i, byte in enumerate(hidden)}


def learn_merges(count: int) -> list[tuple[str, str]]:
    """Return the commonest pairs of the corpus, one after the other; digits stay alone."""
    letters = alphabet()
    words = [[letters[byte] for byte in (" " + word).encode()] for word in CORPUS.split()]
    merges: list[tuple[str, str]] = []
    for _ in range(count):
        pairs = Counter(pair for word in words for pair in pairwise(word))
        pairs = Counter({pair: n for pair, n in pairs.items() if not any(c.isdigit() for c in "".join(pair))})
        pair = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(pair)
        words = [_merged(word, pair) for word in words]
    return merges


def _merged(word: list[str], pair: tuple[str, str]) -> list[str]:
    out: list[str] = []
    for piece in word:
        if out and (out[-1], piece) == pair:
            out[-1] += piece
        else:
            out.append(piece)
    return out


def tokenizer_json(pre: object = SMOLLM, **model: object) -> dict[str, object]:
    """Return a tokenizer.json: special marks, bytes, forty merges, and two marks that are ordinary text."""
    merges = learn_merges(40)
    texts = [*SPECIAL, *alphabet().values(), *("".join(pair) for pair in merges)]
    vocabulary = {text: id for id, text in enumerate(dict.fromkeys(texts))}
    marks = {text: len(vocabulary) + id for id, text in enumerate(MARKS)}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            *({"id": id, "content": text, "special": True, **flags} for id, text in enumerate(SPECIAL)),
            *({"id": id, "content": text, "special": False, **flags} for text, id in marks.items()),
        ],
        "normalizer": None,
        "pre_tokenizer": pre,
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None,
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": False,
            "byte_fallback": False,
            "ignore_merges": False,
            "vocab": vocabulary,
            "merges": [list(pair) for pair in merges],
            **model,
        },
    }


def edit_json(file: Path, **fields: object) -> None:
    """Change fields of an object in a file."""
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")) | fields, ensure_ascii=False), "utf-8")


def write_llama(folder: Path, *, seed: int = 0, tied: bool = False, pre: object = SMOLLM, spare: int = 3) -> Path:
    """Write the model; `spare` is how many more embeddings it has than its tokenizer has tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer = tokenizer_json(pre)
    words = len(tokenizer["model"]["vocab"]) + len(MARKS) + spare  # type: ignore[index]
    save_tensors(folder / "model.safetensors", weights(words, tied, seed))
    config = {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD,
        "hidden_act": "silu",
        "vocab_size": words,
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 5000.0},
        "tie_word_embeddings": tied,
        "dtype": "float32",
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|im_start|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "unk_token": "<|endoftext|>",
    }
    files = {"config.json": config, "tokenizer.json": tokenizer, "tokenizer_config.json": settings}
    files["generation_config.json"] = {"bos_token_id": 1, "eos_token_id": [2, 0], "pad_token_id": 0}
    for name, value in files.items():
        (folder / name).write_text(json.dumps(value, ensure_ascii=False), "utf-8")
    (folder / "chat_template.jinja").write_text(TEMPLATE, "utf-8")
    return folder


def weights(words: int, tied: bool, seed: int) -> dict[str, Array]:
    """Return random weights, large enough for replies to be no single token over and over."""
    noise = np.random.default_rng(seed)

    def normal(*shape: int, scale: float = 0.25) -> Array:
        return (noise.standard_normal(shape) * scale).astype(np.float32)

    tensors = {"model.embed_tokens.weight": normal(words, WIDTH)}
    for layer in range(LAYERS):
        for module, shape in SHAPES.items():
            tensors[f"model.layers.{layer}.{module}.weight"] = normal(*shape)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"model.layers.{layer}.{norm}.weight"] = 1 + normal(WIDTH, scale=0.1)
    tensors["model.norm.weight"] = 1 + normal(WIDTH, scale=0.1)
    if not tied:
        tensors["lm_head.weight"] = normal(words, WIDTH)
    return tensors


def write_lora(
    folder: Path,
    *,
    rank: int = 4,
    alpha: float = 8,
    seed: int = 0,
    modules: tuple[str, ...] = tuple(SHAPES),
    layers: int = LAYERS,
    scale: float = 0.2,
    **config: object,
) -> Path:
    """Write a LoRA adapter with random factors; `modules` are what it adapts in each layer."""
    folder.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed)
    tensors: dict[str, Array] = {}
    for layer in range(layers):
        for module in modules:
            rows, columns = SHAPES[module]
            name = f"base_model.model.model.layers.{layer}.{module}"
            for side, shape in (("A", (rank, columns)), ("B", (rows, rank))):
                values = noise.standard_normal(shape) * scale
                tensors[f"{name}.lora_{side}.weight"] = values.astype(np.float32)
    save_tensors(folder / "adapter_model.safetensors", tensors)
    settings = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": "base",
        "r": rank,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "bias": "none",
        "target_modules": [module.rpartition(".")[2] for module in modules],
        "inference_mode": True,
        **config,
    }
    (folder / "adapter_config.json").write_text(json.dumps(settings), "utf-8")
    return folder


def broken_ids(tokenizer: dict[str, object], words: int) -> list[int]:
    """Return the ids that are no whole characters: an engine of text cannot tell which of them it made."""
    letters = {letter: byte for byte, letter in alphabet().items()}
    whole = {id for id in (*range(len(SPECIAL)), *(token["id"] for token in tokenizer["added_tokens"]))}  # type: ignore[attr-defined]
    for text, id in tokenizer["model"]["vocab"].items():  # type: ignore[index]
        try:
            bytes(letters[letter] for letter in text).decode()
            whole.add(id)
        except UnicodeDecodeError:
            continue
    return [id for id in range(words) if id not in whole]
