from __future__ import annotations

import pytest

from ponder.train.lab.addition import Addition
from ponder.train.lab.algebra import Algebra
from ponder.train.lab.arithmetic import ArithmeticFamily
from ponder.train.lab.directional import Directional
from ponder.train.lab.modular import Modular
from ponder.train.lab.puzzle import Family
from ponder.train.lab.reckoning import Reckoning

FAMILIES: list[Family] = [Addition(), Algebra(), ArithmeticFamily(), Directional(), Modular(), Reckoning()]


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_minimal_chain_is_its_steps_one_a_line(family: Family) -> None:
    for puzzle in family.puzzles(20):
        assert puzzle.minimal.split("\n") == [step.text for step in puzzle.steps]
        assert all(step.text and "\n" not in step.text + step.slip for step in puzzle.steps)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_answer_is_the_reference(family: Family) -> None:
    for puzzle in family.puzzles(20):
        assert puzzle.item.reference is not None
        assert puzzle.item.reference.text == puzzle.answer


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_ids_differ_and_a_family_can_be_a_key(family: Family) -> None:
    ids = [item.problem.id for item in family.items(50)]
    assert len(set(ids)) == 50
    assert {family: 1}[family] == 1
    assert family.seed == 0


def test_harder_questions_have_longer_chains() -> None:
    for family in (Addition(seed=1), Algebra(seed=1), ArithmeticFamily(seed=1), Directional(seed=1), Modular(seed=1)):
        lengths: dict[int, list[int]] = {}
        for puzzle in family.puzzles(400):
            lengths.setdefault(puzzle.difficulty, []).append(len(puzzle.minimal))
        means = [sum(lengths[level]) / len(lengths[level]) for level in sorted(lengths)]
        assert means == sorted(means), family.name
        assert means[-1] > 1.5 * means[0], family.name
