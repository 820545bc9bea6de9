"""The tokenizer keeps every text, cuts digits and symbols apart, and its template thinks or does not."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.engine import Think
from ponder.core.problem import Message, Prompt, Thinking
from ponder.engines.template import ChatTemplate
from ponder.train.base.recipe import Recipe

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.train.base.data import make_stages, tokenizer_texts  # noqa: E402
from ponder.train.base.model import fresh_model, save_rounded  # noqa: E402
from ponder.train.base.tokenizer import END, PAD, learn_tokenizer  # noqa: E402
from ponder.train.loops.encode import end_of_turn  # noqa: E402

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

CHAT = [
    {"role": "system", "content": "Be good."},
    {"role": "user", "content": "1+1?"},
    {"role": "assistant", "content": "<think>\n1+1=2\n</think>\n\n\\boxed{2}"},
    {"role": "user", "content": "2+2?"},
]
RENDERED = (
    "<|im_start|>system\nBe good.<|im_end|>\n<|im_start|>user\n1+1?<|im_end|>\n"
    "<|im_start|>assistant\n\\boxed{2}<|im_end|>\n<|im_start|>user\n2+2?<|im_end|>\n<|im_start|>assistant\n"
)
EMPTY = "<think>\n\n</think>\n\n"


def pieces(tokenizer: PreTrainedTokenizerFast, text: str) -> list[str]:
    return [tokenizer.decode([id]) for id in tokenizer(text)["input_ids"]]


def test_it_has_the_size_that_was_asked_for(tokenizer: PreTrainedTokenizerFast, mini: Recipe) -> None:
    assert len(tokenizer) == mini.vocabulary
    assert tokenizer.model_max_length == mini.context
    assert (tokenizer.pad_token, tokenizer.eos_token) == (PAD, END)


@given(text=st.text())
def test_every_text_comes_back(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.decode(ids, clean_up_tokenization_spaces=False) == text


def test_digits_and_symbols_stand_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    assert pieces(tokenizer, "12+305=317") == list("12+305=317")
    assert pieces(tokenizer, "❀❤♪♙↔♋✰⚛") == list("❀❤♪♙↔♋✰⚛")


def test_words_of_the_lab_are_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    assert pieces(tokenizer, "assistant") == ["assistant"]
    assert pieces(tokenizer, " final answer") == [" final", " answer"]


def test_think_marks_are_single_tokens_that_show(tokenizer: PreTrainedTokenizerFast) -> None:
    ids = tokenizer("<think>\n7\n</think>")["input_ids"]
    assert [tokenizer.decode([id]) for id in ids] == ["<think>", "\n", "7", "\n", "</think>"]
    assert tokenizer.decode([*ids, tokenizer.eos_token_id], skip_special_tokens=True) == "<think>\n7\n</think>"


def test_the_template_writes_turns_and_leaves_old_thoughts_out(tokenizer: PreTrainedTokenizerFast) -> None:
    shown = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True)
    assert shown == RENDERED
    on = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True, enable_thinking=True)
    off = tokenizer.apply_chat_template(CHAT, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    assert (on, off) == (RENDERED, RENDERED + EMPTY)
    assert end_of_turn(tokenizer) == tokenizer.eos_token_id


def test_the_engines_render_it_alike_and_know_how_it_thinks(
    tokenizer: PreTrainedTokenizerFast, mini: Recipe, tmp_path: Path
) -> None:
    save_rounded(fresh_model(mini, tokenizer), tokenizer, tmp_path)
    template = ChatTemplate.load(tmp_path)
    asked = tuple(Message.of(str(turn["role"]), str(turn["content"])) for turn in CHAT)  # type: ignore[arg-type]
    assert template.think() == Think("<think>", "</think>")
    assert template.render(Prompt(asked)) == RENDERED
    assert template.render(Prompt(asked, thinking=Thinking.off())) == RENDERED + EMPTY


def test_the_same_texts_make_the_same_tokenizer(tokenizer: PreTrainedTokenizerFast, mini: Recipe) -> None:
    again = learn_tokenizer(tokenizer_texts(make_stages(mini)), mini.vocabulary, mini.context)
    assert again.backend_tokenizer.to_str() == tokenizer.backend_tokenizer.to_str()


def test_texts_for_it_hold_no_marks_and_no_symbols_together(mini: Recipe) -> None:
    texts = list(tokenizer_texts(make_stages(mini)))
    assert any("❤\n" in text for text in texts)
    assert not any("think>" in text or "=(" in text or "↔❤" in text for text in texts)
