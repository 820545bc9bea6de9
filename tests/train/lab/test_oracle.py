from __future__ import annotations

import pytest

from ponder.train.lab.oracle import exit_of
from ponder.train.lab.table import FAMILIES, load_family
from ponder.train.lab.thought import Overthinking, minimal


@pytest.mark.parametrize("name", FAMILIES)
def test_the_exit_is_the_one_that_was_recorded(name: str) -> None:
    for puzzle in load_family(name).puzzles(60):
        for amount in (Overthinking(0, 0), Overthinking(2.5, 1)):
            thought = amount.think(puzzle, seed=3)
            found = exit_of(thought.text, puzzle)
            # A chain of equal lines may derive the answer in one that reads like the last.
            assert found is not None
            assert found <= thought.exit
            if [step.text for step in puzzle.steps].count(puzzle.steps[-1].text) == 1:
                assert found == thought.exit
            assert thought.text[:found].endswith(puzzle.steps[-1].text)


def test_what_was_not_derived_has_no_exit() -> None:
    puzzle = next(iter(load_family("arithmetic").puzzles()))
    assert exit_of("", puzzle) is None
    assert exit_of(f"I need {puzzle.given}.\nSo the answer is {puzzle.answer}.", puzzle) is None
    assert exit_of(f"Maybe {puzzle.steps[-1].slip}? Wait, no.", puzzle) is None


def test_blanks_around_the_line_do_not_hide_it() -> None:
    puzzle = next(iter(load_family("arithmetic").puzzles()))
    text = f"  {minimal(puzzle).text.splitlines()[-1]}  \nWait"
    assert text[: exit_of(text, puzzle)].strip() == puzzle.steps[-1].text
