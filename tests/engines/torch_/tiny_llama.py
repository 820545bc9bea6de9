"""A tiny random Llama with a tokenizer and a chat template of its own, and short ways to read what an engine says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ponder.core.engine import Chunk, Engine, Sampling
from ponder.core.problem import Message, Prompt

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
CORPUS = [
    "What is 12 + 30? Think step by step, then give the answer.",
    "so the answer is 42, wait, let me check that again: 12 + 30 = 42.",
    "Ein Zug fährt um sieben Uhr los. 小明有三个苹果，又买了两个。答案是五。",
]


def save_tokenizer(folder: Path, template: str | None = TEMPLATE) -> None:
    """Train a byte-level tokenizer on a few sentences and save it as transformers does."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=["<|im_start|>", "<|im_end|>"],
        show_progress=False,
    )
    backend.train_from_iterator(CORPUS, trainer)
    backend.add_tokens([AddedToken("<think>", special=False), AddedToken("</think>", special=False)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<|im_end|>")
    tokenizer.chat_template = template
    tokenizer.save_pretrained(folder)


def save_model(folder: Path, context: int = 2048) -> None:
    """Save a random Llama whose weights are large enough for its replies to differ."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=322,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=context,
        initializer_range=0.3,
        eos_token_id=1,
        bos_token_id=None,
        pad_token_id=None,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def ask(text: str, prefill: str = "", ids: tuple[int | str, ...] = ()) -> Prompt:
    """Return the prompt of one question."""
    return Prompt((Message.of("user", text),), prefill=prefill, prefill_ids=ids)


async def read(engine: Engine, prompt: Prompt, sampling: Sampling) -> list[Chunk]:
    """Return all chunks of one reply."""
    async with engine.stream(prompt, sampling) as chunks:
        return [chunk async for chunk in chunks]


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def ids_of(chunks: list[Chunk]) -> tuple[int, ...]:
    return tuple(token for chunk in chunks for token in chunk.token_ids)


def tokens_of(chunks: list[Chunk]) -> int:
    return sum(chunk.tokens for chunk in chunks)


def go_on(prompt: Prompt, chunks: list[Chunk]) -> Prompt:
    """Return the prompt with what came at the end of its reply, as ids."""
    start = prompt.prefill_ids or ((prompt.prefill,) if prompt.prefill else ())
    return replace(prompt, prefill=prompt.prefill + text_of(chunks), prefill_ids=(*start, *ids_of(chunks)))
