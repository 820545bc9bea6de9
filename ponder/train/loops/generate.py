"""Greedy replies to many questions at once, to see in the midst of training what a model can do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from transformers import PreTrainedTokenizerBase

from ponder.train.loops.adapt import Model
from ponder.train.loops.encode import end_of_turn, render_prompts


class Reply(NamedTuple):
    """A reply; `tokens` are those generated, the end of turn included, and `truncated` ones never reached it."""

    text: str
    tokens: int
    truncated: bool


def replies(
    model: Model,
    tokenizer: PreTrainedTokenizerBase,
    questions: Sequence[Sequence[tuple[str, str]]],
    max_tokens: int,
    batch: int = 32,
) -> list[Reply]:
    """Return a greedy reply to each question, a list of (role, text) messages, in their order."""
    prompts = render_prompts(tokenizer, questions)
    end = end_of_turn(tokenizer)
    found: dict[int, Reply] = {}
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    for start in range(0, len(order), batch):
        some = order[start : start + batch]
        generated = _generate(model, [prompts[index] for index in some], end, max_tokens)
        for index, ids in zip(some, generated, strict=True):
            stopped = end in ids
            kept = ids[: ids.index(end)] if stopped else ids
            text = str(tokenizer.decode(kept, clean_up_tokenization_spaces=False))
            found[index] = Reply(text, len(kept) + stopped, not stopped)
    return [found[index] for index in range(len(prompts))]


def _generate(model: Model, prompts: Sequence[Sequence[int]], end: int, max_tokens: int) -> list[list[int]]:
    """Return the generated ids of each prompt; prompts are padded in front, where the mask hides it."""
    width = max(map(len, prompts))
    ids = torch.full((len(prompts), width), end, device=model.device)
    mask = torch.zeros_like(ids)
    for at, prompt in enumerate(prompts):
        ids[at, width - len(prompt) :] = torch.tensor(prompt)
        mask[at, width - len(prompt) :] = 1
    output = model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=max_tokens,
        do_sample=False,
        temperature=None,
        top_p=None,
        top_k=None,
        eos_token_id=end,
        pad_token_id=end,
        use_cache=True,
    )
    rows: list[list[int]] = output[:, width:].tolist()
    return rows
