from __future__ import annotations

import pickle
import subprocess
import sys
from itertools import islice

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.core.judge import Task
from ponder.tasks import load_task
from ponder.tasks.lab import Lab
from ponder.train.lab.rows import HELD_OUT, questions
from ponder.train.lab.table import FAMILIES, load_family

EVERY_FAMILY = pytest.mark.parametrize("name", FAMILIES)


@EVERY_FAMILY
def test_it_asks_the_questions_that_are_kept_for_tests(name: str) -> None:
    asked = [item.meta["question"] for item in load_task(f"lab:{name}").items(30)]
    assert asked == [row["question"] for row in questions([load_family(name)], 30)]


@EVERY_FAMILY
def test_meta_data_tells_how_hard_a_question_is_and_its_minimal_chain(name: str) -> None:
    puzzles = {puzzle.item.problem.id: puzzle for puzzle in load_family(name).puzzles(60)}
    items = list(load_task(f"lab:{name}").items(20))
    for item in items:
        puzzle = puzzles[item.problem.id]
        assert item.meta["difficulty"] == str(puzzle.difficulty)
        assert item.meta["minimal"] == puzzle.minimal
        assert item.problem == puzzle.item.problem
        assert item.reference == puzzle.item.reference
    assert len({item.meta["difficulty"] for item in items}) > 1


@EVERY_FAMILY
def test_its_verifier_is_the_familys_and_travels_to_other_processes(name: str) -> None:
    task = load_task(f"lab:{name}")
    verifier = pickle.loads(pickle.dumps(task.verifier))
    first, second = task.items(2)
    assert first.reference is not None
    assert verifier(f"\\boxed{{{first.reference.text}}}", first.reference).correct
    assert second.reference is not None
    if second.reference != first.reference:
        assert not verifier(f"\\boxed{{{second.reference.text}}}", first.reference).correct


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ("lab:addition:digits=1-3", "lab:addition"),
        ("lab:modular:links=2,modulus=5", "lab:modular:links=2,modulus=5"),
        ("lab:arithmetic:level=1-5,language=mix", "lab:arithmetic:language=mix"),
    ],
)
def test_its_name_says_what_differs_from_the_defaults(spec: str, name: str) -> None:
    task: Task = load_task(spec)
    assert task.name == name
    assert load_task(name) == task


def test_fewer_questions_are_a_beginning_of_more() -> None:
    task = Lab(load_family("modular"))
    assert list(task.items(25)) == list(task.items(40))[:25] == list(islice(task.items(), 25))


def test_no_question_comes_twice() -> None:
    asked = [item.problem.question for item in load_task("lab:directional:actions=1-4").items(40)]
    assert len(set(asked)) == len(asked) == 40


def test_without_a_limit_it_has_a_thousand_questions_or_what_there_is() -> None:
    assert sum(1 for _ in load_task("lab:arithmetic:level=9").items()) == HELD_OUT == 1000
    assert sum(1 for _ in load_task("lab:modular:links=1,modulus=3,operations=+-").items()) == 2


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("lab", "lab needs the name of a family first, as in lab:addition or lab:modular:links=1-6"),
        ("lab:", "lab needs the name of a family first"),
        ("lab:adition", "there is no family 'adition'; did you mean 'addition'?"),
        ("lab:addition:digits=0", "digits = '0' is out of range"),
        ("lab:addition:seed=3", "the seed is no option of a family"),
    ],
)
def test_what_does_not_exist_is_said(spec: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_task(spec)
    assert message in str(caught.value)


def test_another_seed_would_ask_what_models_were_trained_on() -> None:
    with pytest.raises(
        OptionError, match="lab:addition: the questions for tests are those of seed 0, not 3; leave out"
    ):
        load_task("lab:addition", seed=3)


def test_a_family_without_a_question_for_tests_says_so() -> None:
    with pytest.raises(DataError, match="has no question of difficulty 1 for tests"):
        list(load_task("lab:modular:links=1,modulus=3,operations=+").items())


def test_the_lab_is_loaded_only_when_it_is_asked_for() -> None:
    code = (
        "import sys; from ponder.tasks import load_task\n"
        "assert not [name for name in sys.modules if name.startswith('ponder.train')]\n"
        "list(load_task('lab:algebra').items(2))\n"
        "assert not {'torch', 'numpy', 'transformers', 'datasets'} & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
