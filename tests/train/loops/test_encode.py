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


TURNS = (("user", "2 + 3? 5"), ("assistant", "+"), ("user", "5 + 1 is 7"), ("assistant", "+"), ("user", "so 7"))
TAGGED = (("user", "2 + 3?"), ("assistant", "5 ;\n5 + 1 is 7 ;\nso 7 ;"))


def test_votes_in_turns_are_learnt_together_each_where_it_is_asked(tokenizer: PreTrainedTokenizerBase) -> None:
    row = Conversation((*TURNS, ("assistant", "+")), votes=("+", None, "-"))
    (found,) = encode(tokenizer, [row])
    good, bad = tokenizer.convert_tokens_to_ids(["+", "-"])
    asked = render_prompts(tokenizer, [TURNS[:1], TURNS])
    assert found.votes == ((len(asked[0]), good), (len(asked[1]), bad))
    assert [list(found.ids[:place]) for place, _ in found.votes] == asked
    # The history that the third vote is cast on says "good", as the scorer does.
    assert found.ids[len(asked[0])] == good
    assert found.completion == 2


def test_votes_behind_tags_stand_where_the_scorer_reads_them(tokenizer: PreTrainedTokenizerBase) -> None:
    (found,) = encode(tokenizer, [Conversation(TAGGED, votes=("+", "-", "-"), tag=";")])
    texts = [tokenizer.decode(found.ids[:place]) for place, _ in found.votes]
    head = "<|im_start|>user\n2 + 3?<|im_end|>\n<|im_start|>assistant\n"
    assert texts == [head + "5 ;", head + "5 ;\n5 + 1 is 7 ;", head + "5 ;\n5 + 1 is 7 ;\nso 7 ;"]
    assert [tokenizer.decode([id]) for _, id in found.votes] == ["+", "-", "-"]
    assert len(found.ids) == found.votes[-1][0] + 1


def test_a_tag_of_several_tokens_is_read_to_its_end(tokenizer: PreTrainedTokenizerBase) -> None:
    rows = [
        Conversation((TAGGED[0], ("assistant", f"5 {tag}\n6 {tag}")), votes=("+", "-"), tag=tag) for tag in ("ки", ";")
    ]
    (first, second), (one, two) = (row.votes for row in encode(tokenizer, rows))
    more = len(tokenizer("ки", add_special_tokens=False)["input_ids"]) - 1
    assert more > 0
    assert (first[0] - one[0], second[0] - two[0]) == (more, 2 * more)


def test_rows_with_and_without_votes_keep_their_order(tokenizer: PreTrainedTokenizerBase) -> None:
    voted = Conversation(TAGGED, votes=("+", "-", None), tag=";")
    rows = [ROW, voted, *sums(2), voted]
    assert encode(tokenizer, rows) == [encode(tokenizer, [row])[0] for row in rows]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Conversation(TAGGED, 3, votes=("good", "+", "+"), tag=";"), "writes the vote 'good' in .* tokens"),
        (
            Conversation((TAGGED[0], ("assistant", "5 <think>\n6 <think")), 3, votes=("+", "-"), tag="<think"),
            "line 3: a token goes on",
        ),
    ],
)
def test_votes_that_cannot_be_cast_are_told(tokenizer: PreTrainedTokenizerBase, row: Conversation, said: str) -> None:
    with pytest.raises(DataError, match=said):
        encode(tokenizer, [row])


def test_a_template_that_rewrites_the_past_is_refused_for_turns_alone(tokenizer: PreTrainedTokenizerBase) -> None:
    tokenizer.chat_template = "{{ messages | length }}" + HEAD + "[assistant]{% endif %}"
    with pytest.raises(DataError, match="writes a conversation anew"):
        encode(tokenizer, [Conversation((*TURNS, ("assistant", "+")), votes=("+", "-", "+"))])
    assert encode(tokenizer, [Conversation(TAGGED, votes=("+", "-", "+"), tag=";")])[0].completion == 3
