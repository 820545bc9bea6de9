from __future__ import annotations

import random

import pytest

from ponder.core.errors import OptionError
from ponder.tasks import load_task
from ponder.tasks.gym import FORMAT, Gym
from ponder.verify.reasoning_gym import known_datasets


def test_puzzles_are_the_same_each_time_and_a_limit_is_a_beginning() -> None:
    task = Gym("chain_sum", seed=3, size=20)
    items = list(task.items())
    assert len(items) == 20
    assert list(Gym("chain_sum", seed=3, size=20).items(5)) == items[:5]
    assert [one.problem.id for one in items[:2]] == ["reasoning_gym-chain_sum-s3-0", "reasoning_gym-chain_sum-s3-1"]
    assert items[0].problem.question.endswith(f"\n\n{FORMAT}")
    assert list(Gym("chain_sum", seed=4, size=20).items(5)) != items[:5]


def test_building_puzzles_leaves_other_randomness_alone() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    list(Gym("chain_sum", size=5).items())
    assert random.random() == expected


@pytest.mark.parametrize(
    "name", ["chain_sum", "countdown", "graph_color", "word_ladder", "sudoku", "family_relationships"]
)
def test_references_are_right_where_a_set_has_any(name: str) -> None:
    task = Gym(name, size=2)
    for one in task.items():
        assert one.reference is not None
        assert task.verifier.check(one.reference) is None
        if one.reference.text:
            verdict = task.verifier(f"<answer>{one.reference.text}</answer>", one.reference)
            assert verdict.correct
            assert verdict.score == 1.0


def test_every_set_can_be_loaded_by_name() -> None:
    names = set(known_datasets()) - {"composite"}
    assert len(names) > 90
    for name in sorted(names)[::9]:
        (one,) = Gym(name, size=1).items()
        assert one.problem.question


def test_options_reach_the_set() -> None:
    task = load_task("reasoning_gym:chain_sum,size=7,min_terms=6,max_terms=6", seed=2)
    assert task.name == "reasoning_gym:chain_sum,size=7,max_terms=6,min_terms=6"
    items = list(task.items(100))
    assert len(items) == 7
    for one in items:
        sum_ = one.meta["question"].partition(":")[2]
        assert sum_.count(" + ") + sum_.count(" - ") == 5
    assert load_task(task.name, seed=2).name == task.name


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("reasoning_gym", "needs the name of a set"),
        ("reasoning_gym:size=5", "needs the name of a set"),
        ("reasoning_gym:chain_sun", "did you mean 'chain_sum'"),
        ("reasoning_gym:chain_sum,min_term=5", "no option 'min_term'; did you mean 'min_terms'"),
        ("reasoning_gym:chain_sum,min_terms=-5", "min_terms must be positive"),
        ("reasoning_gym:chain_sum,min_terms=many", "reasoning_gym:chain_sum,min_terms=many"),
        ("reasoning_gym:chain_sum,size=0", "size = '0' must be a whole number from 1"),
        ("reasoning_gym:chain_sum,seed=x", "seed = 'x' must be a whole number"),
        ("reasoning_gym:composite", "reasoning_gym:composite: "),
    ],
)
def test_what_does_not_exist_is_said(spec: str, message: str) -> None:
    with pytest.raises(OptionError) as caught:
        load_task(spec)
    assert message in str(caught.value)
