"""A reply is judged by what stands behind its thought, and its thought is counted beside the minimal one."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ponder.train.base.recipe import Recipe
from ponder.train.lab.table import load_family
from ponder.train.lab.thought import Overthinking

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.train.base.data import make_exams  # noqa: E402
from ponder.train.base.measure import Exam, Measured, judge_reply, measure, summary  # noqa: E402
from ponder.train.base.model import fresh_model  # noqa: E402

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

FAMILY = load_family("modular:links=2-3")
EXAM = Exam(FAMILY.name, FAMILY.verifier, list(FAMILY.puzzles(4)))
PUZZLE = EXAM.puzzles[0]


def judged(tokenizer: PreTrainedTokenizerFast, reply: str, *, ended: bool = True, thinking: bool = True) -> Measured:
    ids = tokenizer(reply)["input_ids"] + [tokenizer.eos_token_id] * ended
    return judge_reply(tokenizer, EXAM, PUZZLE, ids, thinking)


def test_a_long_thought_is_counted_up_to_where_it_could_have_ended(tokenizer: PreTrainedTokenizerFast) -> None:
    thought = Overthinking(passes=2, slips=0).think(PUZZLE)
    reply = thought.reply(PUZZLE.answer)
    found = judged(tokenizer, reply)
    assert (found.correct, found.truncated, found.difficulty) == (True, False, PUZZLE.difficulty)
    assert found.tokens == len(tokenizer(reply)["input_ids"]) + 1
    assert found.thought == len(tokenizer(thought.text)["input_ids"])
    assert found.exit == len(tokenizer(thought.text[: thought.exit])["input_ids"])
    assert found.minimal == len(tokenizer(PUZZLE.minimal)["input_ids"])
    assert found.minimal < found.exit < found.thought


def test_a_minimal_thought_is_its_own_exit(tokenizer: PreTrainedTokenizerFast) -> None:
    found = judged(tokenizer, Overthinking(passes=0).think(PUZZLE).reply(PUZZLE.answer))
    assert found.minimal == found.exit == found.thought
    assert found.correct


def test_a_thought_that_never_derives_the_answer_has_no_exit(tokenizer: PreTrainedTokenizerFast) -> None:
    found = judged(tokenizer, "<think>\nhm\n</think>\n\n\\boxed{99}")
    assert not found.correct
    assert found.exit == found.thought > 0


def test_the_answer_stands_behind_the_thought(tokenizer: PreTrainedTokenizerFast) -> None:
    assert not judged(tokenizer, f"<think>\n\\boxed{{{PUZZLE.answer}}}\n</think>\n\n\\boxed{{99}}").correct
    assert judged(tokenizer, f"\\boxed{{{PUZZLE.answer}}}", thinking=False).correct
    assert judged(tokenizer, f"\\boxed{{{PUZZLE.answer}}}", thinking=False).thought == 0


def test_a_reply_that_does_not_end_is_wrong(tokenizer: PreTrainedTokenizerFast) -> None:
    found = judged(tokenizer, f"<think>\n1\n</think>\n\n\\boxed{{{PUZZLE.answer}}}", ended=False)
    assert (found.correct, found.truncated) == (False, True)


def test_a_model_that_knows_nothing_is_measured_to_its_context(
    tokenizer: PreTrainedTokenizerFast, mini: Recipe
) -> None:
    model = fresh_model(mini, tokenizer).train()
    exams = make_exams(mini, 3)
    for thinking in (True, False):
        found = measure(model, tokenizer, exams, thinking=thinking)
        assert len(found) == 9
        assert Counter(one.family for one in found) == {exam.family: 3 for exam in exams}
        assert not any(one.correct for one in found)
        assert all(0 < one.tokens < mini.context for one in found)
        assert {one.thinking for one in found} == {thinking}
    assert model.training
    assert measure(model, tokenizer, exams) == measure(model, tokenizer, exams)


def test_a_reply_that_is_longer_than_asked_for_is_cut_off(tokenizer: PreTrainedTokenizerFast, mini: Recipe) -> None:
    found = measure(fresh_model(mini, tokenizer), tokenizer, make_exams(mini, 2), longest=5)
    assert {(one.tokens, one.truncated, one.correct) for one in found} == {(5, True, False)}


def test_a_summary_is_by_family() -> None:
    one = Measured("a", 1, True, True, False, 40, 30, 10, 12)
    told = summary([one, replace(one, correct=False, thought=60), replace(one, family="b", minimal=20)])
    assert told == {"a accuracy": 0.5, "a ratio": 4.5, "b accuracy": 1.0, "b ratio": 1.5}
