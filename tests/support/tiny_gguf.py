"""A llama of 60,000 random weights with a byte vocabulary, written in a moment: real files for real llama.cpp."""

from __future__ import annotations

from pathlib import Path

CHAT = (
    "{{ bos_token }}{% for m in messages %}<|turn|>{{ m['role'] }}\n{{ m['content'] }}<|end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|turn|>assistant\n{% endif %}"
)
SWITCHED = CHAT + "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}"
OPENED = CHAT + "<think>\n"
PIECES = ("▁", *"abcdefghijklmnopqrstuvwxyz", "he", "ll", "llo", "hello", "▁hello", "▁h", "an", "▁an")
CONTROL = ("<|turn|>", "<|end|>")
MARKS = ("<think>", "</think>")


def tokens() -> list[tuple[str, int, float]]:
    """(text, type, score): unknown, begin, end, 256 bytes, pieces, control marks, marks that are text."""
    base = [("<unk>", 2, 0.0), ("<s>", 3, 0.0), ("</s>", 3, 0.0)]
    base += [(f"<0x{byte:02X}>", 6, 0.0) for byte in range(256)]
    base += [(piece, 1, -100.0 + 10 * len(piece)) for piece in PIECES]
    return base + [(mark, 3, 0.0) for mark in CONTROL] + [(mark, 4, 0.0) for mark in MARKS]


def write_tiny(path: Path, *, template: str = CHAT, seed: int = 0) -> Path:
    """Write the model; it adds a begin mark, and a blank before each text, as SentencePiece models do."""
    import gguf
    import numpy as np

    vocabulary, width, inner, heads = tokens(), 64, 128, 2
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(width)
    writer.add_block_count(1)
    writer.add_feed_forward_length(inner)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("llama")
    writer.add_token_list([text for text, _, _ in vocabulary])
    writer.add_token_types([kind for _, kind, _ in vocabulary])
    writer.add_token_scores([score for _, _, score in vocabulary])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(True)
    writer.add_chat_template(template)
    noise = np.random.default_rng(seed)
    shapes = {
        "token_embd": (len(vocabulary), width),
        "output": (len(vocabulary), width),
        **{f"blk.0.attn_{name}": (width, width) for name in ("q", "k", "v", "output")},
        **{f"blk.0.ffn_{name}": (inner, width) for name in ("gate", "up")},
        "blk.0.ffn_down": (width, inner),
    }
    for name, shape in shapes.items():
        writer.add_tensor(f"{name}.weight", noise.normal(0, 0.3, shape).astype(np.float32))
    for name in ("output_norm", "blk.0.attn_norm", "blk.0.ffn_norm"):
        writer.add_tensor(f"{name}.weight", np.ones(width, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def write_adapter(path: Path, *, scale: float = 1.0, seed: int = 1) -> Path:
    """Write a random LoRA adapter of rank 2 for the tiny model."""
    import gguf
    import numpy as np

    noise = np.random.default_rng(seed)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("adapter")
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", 2 * scale)
    for name in ("q", "v", "output"):
        writer.add_tensor(f"blk.0.attn_{name}.weight.lora_a", noise.normal(0, 0.3, (2, 64)).astype(np.float32))
        writer.add_tensor(f"blk.0.attn_{name}.weight.lora_b", noise.normal(0, 0.3, (64, 2)).astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path
