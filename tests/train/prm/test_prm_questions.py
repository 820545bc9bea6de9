from __future__ import annotations

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.train.lab.rows import held_out
from ponder.train.prm.questions import load_questions


def test_the_lab_s_questions_are_none_that_tests_ask() -> None:
    found = load_questions(["lab:modular:links=2", "lab:arithmetic:level=1"], 20, 1)
    assert [question.task for question in found] == ["lab:modular:links=2"] * 20 + ["lab:arithmetic:level=1"] * 20
    asked = {question.item.problem.question for question in found[20:]}
    assert not asked & held_out()
    tests = {question.item.problem.question for question in load_questions(["lab:modular:links=2"], 20, 2)}
    assert {question.item.problem.question for question in found[:20]} != tests


def test_they_know_their_chains_and_have_names_of_their_own() -> None:
    found = load_questions(["lab:modular:links=2", "lab:addition"], 5, 1)
    assert len({question.key for question in found}) == 10
    for question in found:
        assert question.chain is not None
        assert question.puzzle is not None
        assert question.chain.steps == tuple(step.text for step in question.puzzle.steps)


def test_a_question_of_two_tasks_is_asked_once() -> None:
    """Else one of the two would be learnt, and the other held out."""
    found = load_questions(["lab:modular:links=1-3,modulus=5", "lab:modular:links=1-2,modulus=5"], 100, 1)
    assert len({question.item.problem.question for question in found}) == len(found) > 150


def test_any_other_task_gives_questions_without_chains() -> None:
    found = load_questions(["gsm8k"], 3, 1)
    assert len(found) == 3
    assert all(question.chain is None and question.item.reference is not None for question in found)


def test_the_seed_of_tests_is_refused() -> None:
    with pytest.raises(OptionError, match="seed 0 makes the questions that tests ask"):
        load_questions(["lab:modular"], 3, 0)


def test_a_task_without_questions_is_told() -> None:
    with pytest.raises(DataError, match="no question with a reference"):
        load_questions(["gsm8k"], 0, 1)
