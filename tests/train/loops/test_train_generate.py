"""Replies of a batch are those that each question gets alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("trl")
pytestmark = pytest.mark.torch

from ponder.train.loops.encode import end_of_turn, render_prompts  # noqa: E402
from ponder.train.loops.generate import replies  # noqa: E402

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

QUESTIONS = [[("user", "2 + 3?")], [("system", "小明有三个苹果"), ("user", "What is 12 + 30?")], [("user", "?")]]


def test_replies_in_a_batch_equal_those_alone(
    fresh: Callable[[], tuple[LlamaForCausalLM, PreTrainedTokenizerBase]],
) -> None:
    model, tokenizer = fresh()
    model.eval()
    end = end_of_turn(tokenizer)
    with torch.no_grad():
        together = replies(model, tokenizer, QUESTIONS, 24)
        assert together == replies(model, tokenizer, QUESTIONS, 24, batch=1)
        for prompt, reply in zip(render_prompts(tokenizer, QUESTIONS), together, strict=True):
            ids = list(prompt)
            for _ in range(24):
                ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
                if ids[-1] == end:
                    break
            new = ids[len(prompt) :]
            assert reply.tokens == len(new)
            assert reply.truncated == (new[-1] != end)
            assert reply.text == tokenizer.decode(new if reply.truncated else new[:-1])
