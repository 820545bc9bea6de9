"""Conversations in tokens: the prompt as the model's template renders it, and the reply up to its end of turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from support.sums import sums

from ponder.core.errors import DataError
from ponder.train.loops.messages import Conversation

pytest.importorskip("torch")
pytest.importorskip("trl")
pytestmark = pytest.mark.torch

from ponder.train.loops.encode import encode, end_of_turn, render_prompts  # noqa: E402

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

ROW = Conversation((("system", "be brief"), ("user", "2 + 3?"), ("assistant", "<think>\n5\n</think>\n5")))
HEAD = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{{ eos_token }}{% endfor %}{% if add_generation_prompt %}"


@pytest.fixture
def tokenizer(fresh: Callable[[], tuple[object, PreTrainedTokenizerBase]]) -> PreTrainedTokenizerBase:
    return fresh()[1]


def test_the_reply_and_its_end_are_learnt(tokenizer: PreTrainedTokenizerBase) -> None:
    (row,) = encode(tokenizer, [ROW])
    prompt, reply = tokenizer.decode(row.ids[: row.prompt]), tokenizer.decode(row.ids[row.prompt :])
    assert prompt == (
        "<|im_start|>system\nbe brief<|im_end|>\n<|im_start|>user\n2 + 3?<|im_end|>\n<|im_start|>assistant\n"
    )
    assert reply == "<think>\n5\n</think>\n5<|im_end|>"
    assert row.completion == len(row.ids) - row.prompt


def test_a_row_begins_as_the_model_is_asked(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = sums(5)
    asked = render_prompts(tokenizer, [row.messages[:-1] for row in rows])
    assert [list(row.ids[: row.prompt]) for row in encode(tokenizer, rows)] == asked


def test_questions_that_come_again_are_cut_once_and_never_mixed_up(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [*sums(3), ROW, *sums(3), replace(ROW, given="so ")]
    assert encode(tokenizer, rows) == [encode(tokenizer, [row])[0] for row in rows]


def test_a_template_that_hides_thoughts_of_the_past_still_learns_this_one(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = HEAD.replace("m.content", "m.content.split('</think>')[-1]") + "[assistant]{% endif %}"
    (row,) = encode(tokenizer, [ROW])
    assert tokenizer.decode(row.ids[row.prompt :]) == "<think>\n5\n</think>\n5<|im_end|>"


@pytest.mark.parametrize("opening", ["<think>\n", "<think>"])
def test_a_template_that_opens_the_thought_is_not_opened_twice(
    tokenizer: PreTrainedTokenizerBase, opening: str
) -> None:
    tokenizer.chat_template = HEAD + "[assistant]{{ '" + opening.replace("\n", "\\n") + "' }}{% endif %}"
    (row,) = encode(tokenizer, [ROW])
    assert tokenizer.decode(row.ids).endswith("[assistant]<think>\n5\n</think>\n5<|im_end|>")
    (plain,) = encode(tokenizer, [Conversation((("user", "?"), ("assistant", "5")))])
    assert tokenizer.decode(plain.ids[plain.prompt :]) == "5<|im_end|>"


def test_a_hybrid_template_is_told_of_thinking(tokenizer: PreTrainedTokenizerBase) -> None:
    off = Conversation((("user", "2 + 3?"), ("assistant", "5")), thinking=False)
    (row,) = encode(tokenizer, [off])
    assert tokenizer.decode(row.ids[: row.prompt]).endswith("<think>\n\n</think>\n\n")


def test_the_end_of_a_turn_is_the_templates_own(tokenizer: PreTrainedTokenizerBase) -> None:
    start, end = tokenizer.convert_tokens_to_ids(["<|im_start|>", "<|im_end|>"])
    assert end_of_turn(tokenizer) == end
    tokenizer.chat_template = HEAD.replace("{{ eos_token }}", "<|im_start|>") + "{% endif %}"
    assert end_of_turn(tokenizer) == start
    tokenizer.chat_template = HEAD.replace("{{ eos_token }}", "\n") + "{% endif %}"
    assert end_of_turn(tokenizer) == end
    tokenizer.eos_token = None
    with pytest.raises(DataError, match="names no token that ends a turn"):
        end_of_turn(tokenizer)


def test_without_a_template_nothing_can_be_rendered(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = None
    with pytest.raises(DataError, match=r"has no chat template; put its chat_template\.jinja .* --chat-template"):
        encode(tokenizer, sums(1))
