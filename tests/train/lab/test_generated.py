from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import DataError, OptionError
from ponder.train.lab.addition import Addition
from ponder.train.lab.algebra import Algebra
from ponder.train.lab.directional import Directional
from ponder.train.lab.generated import Draft, Generated, Turn, kept_for_tests, span
from ponder.train.lab.modular import Modular
from ponder.train.lab.puzzle import Family, Step
from ponder.train.lab.reckoning import Reckoning
from ponder.verify.number import Number

FAMILIES = (Addition, Algebra, Directional, Modular, Reckoning)


@dataclass(frozen=True, slots=True)
class Constant(Generated):
    """Asks the same question for ever, worked out in lines that may repeat."""

    question: str = "What is 1?"
    repeats: bool = False
    seed: int = 1
    kind: ClassVar[str] = "constant"
    verifier: ClassVar[Number] = Number()

    def _turns(self) -> Sequence[Turn]:
        return [(4,)]

    def _draft(self, draw: random.Random, turn: Turn) -> Draft:
        return Draft(self.question, "1", (Step("1", "2"),) * (1 + self.repeats), "1")


def asked(family: Family, limit: int) -> list[str]:
    return [item.meta["question"] for item in family.items(limit)]


@pytest.mark.parametrize("family", FAMILIES)
def test_fewer_puzzles_are_a_beginning_of_more(family: type[Addition]) -> None:
    puzzles = list(family(seed=3).puzzles(60))
    assert puzzles[:17] == list(family(seed=3).puzzles(17))
    assert puzzles == list(islice(family(seed=3).puzzles(), 60))
    assert [puzzle.item for puzzle in puzzles] == list(family(seed=3).items(60))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_seed_changes_the_questions(family: type[Addition]) -> None:
    assert asked(family(seed=1), 40) != asked(family(seed=2), 40)


@pytest.mark.parametrize("family", FAMILIES)
def test_seed_0_asks_what_no_other_seed_asks(family: type[Addition]) -> None:
    tests = set(asked(family(seed=0), 200))
    training = {question for seed in (1, 2, -1, 2**40) for question in asked(family(seed=seed), 200)}
    assert tests & training == set()
    assert all(map(kept_for_tests, tests))
    assert not any(map(kept_for_tests, training))


@pytest.mark.parametrize("family", FAMILIES)
def test_every_reply_that_ends_in_the_answer_is_right_and_every_other_answer_wrong(family: type[Addition]) -> None:
    puzzles = list(family(seed=1).puzzles(60))
    for puzzle, other in pairwise(puzzles):
        assert puzzle.item.reference is not None
        reply = f"<think>\n{puzzle.minimal}\n</think>\n\n\\boxed{{{puzzle.answer}}}"
        assert family.verifier(reply, puzzle.item.reference).correct
        if puzzle.answer != other.answer:
            assert not family.verifier(f"\\boxed{{{other.answer}}}", puzzle.item.reference).correct


@pytest.mark.parametrize("family", FAMILIES)
def test_the_last_step_alone_derives_the_answer_and_no_slip_does(family: type[Addition]) -> None:
    for puzzle in family(seed=1).puzzles(120):
        last = puzzle.steps[-1]
        assert re.search(rf"(?<!\w){re.escape(puzzle.answer)}$", last.text)
        assert last.text not in [step.text for step in puzzle.steps[:-1]]
        assert last.slip != last.text
        if puzzle.skipped:
            assert re.search(rf"(?<!\w){re.escape(puzzle.answer)}$", puzzle.skipped[-1])
            assert len(puzzle.skipped) < len(puzzle.steps)


@pytest.mark.parametrize("family", FAMILIES)
def test_questions_are_short_and_end_with_the_format_line(family: type[Addition]) -> None:
    for item in family(seed=1).items(40):
        assert item.problem.question == f"{item.meta['question']}\n\nPut the final answer in \\boxed{{}}."
        assert len(item.meta["question"]) < 200
        assert int(item.meta["difficulty"]) > 0


def test_one_question_in_eight_is_kept_for_tests() -> None:
    kept = sum(kept_for_tests(f"What is {a} + {b}?") for a in range(100) for b in range(100))
    assert kept == 1213
    # Golden: another hash would put questions that tests ask into data that was made before.
    assert [n for n in range(40) if kept_for_tests(f"What is {n} + {n}?")] == [5, 10, 12, 35, 36]


def test_every_difficulty_has_questions_for_tests_and_for_training() -> None:
    for seed in (0, 1):
        for narrow in (
            Directional("1", seed),
            Modular("1", seed=seed),
            Addition("1", seed=seed),
            Algebra("2", seed=seed),
        ):
            assert len(asked(narrow, 3)) == 3


def test_names_and_ids_tell_options_apart() -> None:
    assert Modular().name == "modular"
    assert Modular("2-3", 5, "+-", 9).name == "modular:links=2-3,modulus=5,operations=+-"
    ids = [next(family.items(1)).problem.id for family in (Modular(), Modular(seed=4), Modular("2-3", 5, seed=4))]
    assert ids == ["modular-s0-0", "modular-s4-0", "modular-links=2-3-modulus=5-s4-0"]


def test_a_difficulty_without_questions_is_said() -> None:
    with pytest.raises(DataError, match="has no question of difficulty 1 for tests; ask for harder ones as well"):
        next(Modular("1", 3, "+").puzzles())
    question = next(f"What is {n}?" for n in range(100) if kept_for_tests(f"What is {n}?"))
    assert asked(Constant(question, seed=0), 2) == [question] * 2
    with pytest.raises(DataError, match=r"constant:question=.* has no question of difficulty 4 for training"):
        next(Constant(question, seed=1).puzzles())
    free = next(f"What is {n}?" for n in range(100) if not kept_for_tests(f"What is {n}?"))
    with pytest.raises(DataError, match="for tests; ask for harder ones as well"):
        next(Constant(free, seed=0).puzzles())


def test_a_chain_whose_last_line_stood_there_before_is_drawn_again() -> None:
    free = next(f"What is {n}?" for n in range(100) if not kept_for_tests(f"What is {n}?"))
    assert len(list(Constant(free).puzzles(3))) == 3
    with pytest.raises(DataError):
        next(Constant(free, repeats=True).puzzles())


def test_difficulties_take_turns_in_any_beginning() -> None:
    counts = Counter(puzzle.difficulty for puzzle in Directional("3-6", seed=1).puzzles(41))
    assert counts == {3: 11, 4: 10, 5: 10, 6: 10}


@given(st.integers(1, 60), st.integers(1, 60))
def test_spans_are_what_they_say(low: int, high: int) -> None:
    owner = Addition()
    assert span(owner, "digits", str(low), 1, 60) == range(low, low + 1)
    if low <= high:
        assert span(owner, "digits", f"{low}-{high}", 1, 60) == range(low, high + 1)
    else:
        with pytest.raises(OptionError):
            span(owner, "digits", f"{low}-{high}", 1, 60)
