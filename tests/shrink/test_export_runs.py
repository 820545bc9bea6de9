"""What was exported does in llama.cpp what it does in transformers and PEFT."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.llama_folder import SMOLLM, broken_ids, tokenizer_json, write_llama, write_lora

from ponder.core.engine import Sampling
from ponder.core.problem import Problem, Prompt
from ponder.engines.llama import LlamaEngine
from ponder.shrink.export import export_adapter, export_model

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# PEFT asks transformers for a name that the next major version drops.
pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")]

QUESTIONS = ("What is 12 + 30?", "小明有3个苹果", "❤ ✰ 7", "don't 1,234", "<think>x</think>")
NASTY = (
    "12+30=42", "  12  \n\n 3", "❤️ ✰ ✰✰", "小明有3个苹果", "don't I'LL", " ", "\n\n \t x", "é́ ½ ² Ⅷ ٣",
    "<think>a</think>b",
    "<|im_end|>", "🦙🤖", "ſ ı", "\u00a0a\u3000b\u200b", "a" * 50, "naïve—“x”…", "\r\n\r\n a",
    "한국어 ไทย", "1,234.5e-6",
)  # fmt: skip

NOISE = 0.05
"""Between log-probabilities of the same weights: llama.cpp keeps keys and values in float16."""


def load(folder: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), AutoTokenizer.from_pretrained(folder)


def ids_of(tokenizer: PreTrainedTokenizerBase, question: str) -> list[int]:
    chat = [{"role": "user", "content": question}]
    return list(tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_dict=True)["input_ids"])


def run(file: Path, **options: object) -> LlamaEngine:
    return LlamaEngine(file, threads=1, slots=1, context=512, **options)  # type: ignore[arg-type]


async def likelihoods(engine: LlamaEngine, prompt: list[int], scale: float) -> dict[int, float]:
    """Log-probabilities of the twenty likeliest next tokens, from the server itself: it names them by id.

    They are those of the model alone. The bias makes it say a whole character, else it would say nothing yet.
    """
    letter = tokenizer_json()["model"]["vocab"]["a"]  # type: ignore[index]
    body: dict[str, object] = {"prompt": prompt, "n_predict": 1, "n_probs": 20, "temperature": 0, "stream": True}
    body |= {"lora": [{"id": 0, "scale": scale}], "logit_bias": [[letter, 1000]]}
    async with engine.server.events("/completion", body) as events:
        rows = [row async for event in events for row in event.get("completion_probabilities", ())]
    return {top["id"]: top["logprob"] for top in rows[0]["top_logprobs"]}


def torch_likelihoods(model: torch.nn.Module, prompt: list[int]) -> list[float]:
    import torch

    with torch.no_grad():
        logits = model(input_ids=torch.tensor([prompt])).logits[0, -1]
    return list(torch.log_softmax(logits, -1).tolist())


def gap(ours: dict[int, float], theirs: list[float]) -> float:
    """The largest difference."""
    assert len(ours) == 20
    return max(abs(value - theirs[id]) for id, value in ours.items())


@pytest.mark.parametrize("tied", [False, True])
async def test_greedy_replies_are_equal_to_the_token(tmp_path: Path, tied: bool) -> None:
    import torch

    folder = write_llama(tmp_path / "tiny", tied=tied)
    export_model(folder, tmp_path / "tiny.gguf", "f32")
    model, tokenizer = load(folder)
    banned = broken_ids(tokenizer_json(), model.config.vocab_size)
    sampling = Sampling(max_tokens=40, temperature=0, logit_bias=tuple((id, -math.inf) for id in banned))
    async with run(tmp_path / "tiny.gguf") as engine:
        for question in QUESTIONS:
            prompt = ids_of(tokenizer, question)
            made = model.generate(
                input_ids=torch.tensor([prompt]), max_new_tokens=40, do_sample=False, suppress_tokens=banned
            )
            wanted = made[0, len(prompt) :].tolist()
            ended = wanted[-1] in (0, 2)
            async with engine.stream(Prompt.of(Problem.of(question)), sampling) as chunks:
                reply = [chunk async for chunk in chunks]
            assert [id for chunk in reply for id in chunk.token_ids] == wanted[: len(wanted) - ended]
            assert reply[-1].finish == ("stop" if ended else "length")
            assert len(set(wanted)) > 5, "a reply of one token over and over shows nothing"


LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)


def split_by(pattern: str) -> dict[str, object]:
    split = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}
    return {"type": "Sequence", "pretokenizers": [split, byte_level]}


@pytest.mark.parametrize(
    ("pre", "whole_words_first"),
    [
        (SMOLLM, False),
        ({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}, False),
        (split_by(LLAMA_3), True),
        (split_by(LLAMA_3.replace("{1,3}", "")), False),
    ],
    ids=["smollm", "gpt-2", "llama-bpe", "qwen2"],
)
async def test_both_read_a_text_as_the_same_tokens(
    tmp_path: Path, pre: dict[str, object], whole_words_first: bool
) -> None:
    folder = write_llama(tmp_path / "tiny")
    text = json.dumps(tokenizer_json(pre, ignore_merges=whole_words_first))
    (folder / "tokenizer.json").write_text(text, "utf-8")
    export_model(folder, tmp_path / "tiny.gguf", "q8_0")
    _, tokenizer = load(folder)
    async with run(tmp_path / "tiny.gguf") as engine:
        for text in NASTY:
            assert await engine.server.tokenize(text, special=True) == tuple(tokenizer.encode(text)), repr(text)


async def test_an_adapter_changes_llama_cpp_as_it_changes_torch(tmp_path: Path) -> None:
    from peft import PeftModel
    from peft.helpers import rescale_adapter_scale

    base, adapter = write_llama(tmp_path / "tiny"), write_lora(tmp_path / "lora", alpha=12)
    export_model(base, tmp_path / "tiny.gguf", "f32")
    export_adapter(adapter, base, tmp_path / "lora.gguf", "f32")
    model, tokenizer = load(base)
    adapted = PeftModel.from_pretrained(model, adapter)
    async with run(tmp_path / "tiny.gguf", adapters=[("lora", tmp_path / "lora.gguf")]) as engine:
        for prompt in [ids_of(tokenizer, question) for question in QUESTIONS]:
            for scale in (0.0, 0.5, 1.0):
                with rescale_adapter_scale(adapted, scale):
                    theirs = torch_likelihoods(adapted, prompt)
                ours = await likelihoods(engine, prompt, scale)
                assert gap(ours, theirs) < NOISE, scale
            assert gap(await likelihoods(engine, prompt, 0.0), theirs) > 1, "the adapter does much"


async def test_rows_left_in_torch_order_would_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from peft import PeftModel

    from ponder.shrink import export

    base = write_llama(tmp_path / "tiny")
    adapter = write_lora(tmp_path / "lora", alpha=12, modules=("self_attn.q_proj", "self_attn.k_proj"))
    export_model(base, tmp_path / "tiny.gguf", "f32")
    export_adapter(adapter, base, tmp_path / "right.gguf", "f32")
    monkeypatch.setattr(export, "_reorder", lambda values, heads: values)
    export_adapter(adapter, base, tmp_path / "wrong.gguf", "f32")
    model, tokenizer = load(base)
    adapted = PeftModel.from_pretrained(model, adapter)
    prompts = [ids_of(tokenizer, question) for question in QUESTIONS]
    gaps = {}
    for name in ("right", "wrong"):
        async with run(tmp_path / "tiny.gguf", adapters=[(name, tmp_path / f"{name}.gguf")]) as engine:
            ours = [await likelihoods(engine, prompt, 1.0) for prompt in prompts]
        gaps[name] = max(
            gap(mine, torch_likelihoods(adapted, prompt)) for mine, prompt in zip(ours, prompts, strict=True)
        )
    assert gaps["right"] < NOISE
    assert gaps["wrong"] > 1


async def test_scales_of_single_modules_go_into_the_second_factor(tmp_path: Path) -> None:
    """Rank-stabilised scaling and an alpha of their own for some modules: the file has one alpha for all."""
    from peft import PeftModel

    base = write_llama(tmp_path / "tiny")
    adapter = write_lora(tmp_path / "lora", use_rslora=True, alpha_pattern={"k_proj": 2.0, "layers.1.mlp.up_proj": 1.0})
    export_model(base, tmp_path / "tiny.gguf", "f32")
    export_adapter(adapter, tmp_path / "tiny.gguf", tmp_path / "lora.gguf", "f32")
    model, tokenizer = load(base)
    adapted = PeftModel.from_pretrained(model, adapter)
    async with run(tmp_path / "tiny.gguf", adapters=[("lora", tmp_path / "lora.gguf")]) as engine:
        for prompt in [ids_of(tokenizer, question) for question in QUESTIONS]:
            assert gap(await likelihoods(engine, prompt, 1.0), torch_likelihoods(adapted, prompt)) < NOISE
