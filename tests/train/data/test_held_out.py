"""What tests ask is never trained on, whatever file or seed it comes from."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path

import pytest

from ponder.core.errors import OptionError
from ponder.tasks import load_task
from ponder.train.data.held_out import SHIPPED, asked_by_tests, plain, training_rows, training_task


@pytest.mark.parametrize("name", SHIPPED)
def test_a_test_set_is_refused_by_its_name(name: str) -> None:
    with pytest.raises(OptionError, match=f"{name} is the test set of a benchmark.*split=train or jsonl:FILE"):
        training_task(name, 1)


@pytest.mark.parametrize("split", ["test", "test[:10]", "testmini"])
def test_a_test_split_is_refused(split: str) -> None:
    with pytest.raises(OptionError, match="is what models are tested with; take split=train"):
        training_task(f"datasets:some/set,config=main,split={split}", 1)


@pytest.mark.parametrize("spec", ["lab:addition", "arithmetic", "reasoning_gym:chain_sum"])
def test_seed_nought_is_for_tests(spec: str) -> None:
    with pytest.raises(OptionError, match="seed 0 makes the questions that tests ask"):
        training_task(spec, 0)
    if not spec.startswith("lab"):
        joint = "," if ":" in spec else ":"
        with pytest.raises(OptionError, match="seed 0 makes the questions that tests ask"):
            training_task(f"{spec}{joint}seed=0", 1)


def test_a_family_of_the_lab_asks_other_questions_than_its_tests() -> None:
    asked = {item.problem.question for item in load_task("lab:modular:links=2-6").items(300)}
    rows = [row for row in training_rows(training_task("lab:modular:links=2-6", 1), 300, frozenset()) if row]
    assert len(rows) == 300
    assert not asked & {row.problem.question for row in rows}
    assert all(row.reference.text for row in rows)


def test_questions_of_tests_are_left_out_of_a_file_however_they_are_spaced(tmp_path: Path) -> None:
    tests = asked_by_tests()
    assert len(tests) > 5000
    asked = [item.meta["question"] for item in load_task("gsm8k").items(2)]
    sums = [item.meta["question"] for item in islice(load_task("arithmetic:level=3").items(5), 1)]
    lines = [*asked, *sums, "What is 1 + 1, asked by nobody else?", "And without an answer?"]
    path = tmp_path / "mine.jsonl"
    rows = [{"question": f" {text.upper()}\n" if number else text, "answer": "2"} for number, text in enumerate(lines)]
    del rows[-1]["answer"]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = list(training_rows(training_task(f"jsonl:{path}", 1), None, tests))
    assert [row and row.problem.id for row in found] == [None, None, None, "mine-4"]


def test_of_arithmetic_what_tests_ask_is_left_out_whatever_the_seed() -> None:
    tests = asked_by_tests()
    found = list(training_rows(training_task("arithmetic:level=1", 3), 400, tests))
    left = [plain(row.problem.question.rpartition("\n\n")[0]) for row in found if row]
    assert not set(left) & tests
    assert None in found, "small sums come up again"


def test_two_spellings_of_a_question_are_one() -> None:
    assert plain("  What\n is\tIT? ") == "what is it?"
