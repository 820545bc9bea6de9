from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from ponder.core.errors import OptionError
from ponder.core.judge import Reference
from ponder.core.problem import Problem
from ponder.core.train import Attempt, Example, Row
from ponder.train.confidence import ConfidenceMarks, conversation


async def built(builder: ConfidenceMarks, rows: list[Row]) -> list[Example]:
    async def source() -> AsyncIterator[Row]:
        for row in rows:
            yield row

    return [example async for example in builder.build(source(), None)]


def row(number: int, *attempts: Attempt) -> Row:
    return Row(Problem.of("What is 2 + 3?", id=f"q{number}", system="Be kind."), Reference("5"), attempts=attempts)


async def test_a_right_reply_is_learnt_whole_and_of_a_wrong_one_the_mark_alone() -> None:
    right, wrong = Attempt("It is 5.", 4, True), Attempt("It is 6.", 4, False)
    first, second = await built(ConfidenceMarks(), [row(0, right, wrong)])
    assert (first.completion, first.meta) == ("It is 5.<CN>", {})
    assert (second.completion, second.meta) == ("<UN>", {"given": "It is 6."})
    taught = conversation(second)
    assert taught.messages == (("system", "Be kind."), ("user", "What is 2 + 3?"), ("assistant", "<UN>"))
    assert (taught.given, conversation(first).given) == ("It is 6.", "")


async def test_what_was_cut_or_not_judged_is_left_out() -> None:
    rows = [row(0, Attempt("5", 1, None), Attempt("5", 1, True, truncated=True))]
    assert await built(ConfidenceMarks(), rows) == []


async def test_wrong_attempts_are_thinned_and_right_ones_are_not() -> None:
    rows = [row(i, Attempt("5", 1, True), Attempt("6", 1, False)) for i in range(400)]
    some = await built(ConfidenceMarks(keep=0.25), rows)
    wrong = [example for example in some if example.meta]
    assert len(some) - len(wrong) == 400
    assert 70 <= len(wrong) <= 130
    assert await built(ConfidenceMarks(keep=0.25), rows) == some
    assert all(not example.meta for example in await built(ConfidenceMarks(keep=0.0), rows))
    assert len(await built(ConfidenceMarks(keep=1.0), rows)) == 800
    with pytest.raises(OptionError, match=r"keep = 1\.5"):
        ConfidenceMarks(keep=1.5)


@pytest.mark.torch
async def test_the_loss_of_a_wrong_reply_is_on_its_mark_and_of_a_right_one_on_all_of_it() -> None:
    """The masks of the paper, in a tokenizer in which both marks are one token; the turn's end is learnt, too."""
    from transformers import AutoTokenizer

    from ponder.engines.shipped import model_folder
    from ponder.train.loops.encode import encode

    tokenizer = AutoTokenizer.from_pretrained(model_folder("tiny-reasoner-small"), local_files_only=True)
    builder = ConfidenceMarks("So", "Wait")
    reply = "<think>\n2 + 3 = 5\n</think>\n\n\\boxed{5}"
    examples = await built(builder, [row(0, Attempt(reply, 9, True), Attempt(reply, 9, False))])
    right, wrong = encode(tokenizer, list(map(conversation, examples)))
    assert wrong.completion == 1 + 1
    assert right.completion == len(tokenizer(reply, add_special_tokens=False)["input_ids"]) + 1 + 1
    assert wrong.ids[: wrong.prompt] == right.ids[: wrong.prompt]
