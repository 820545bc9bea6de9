from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import OptionError
from ponder.core.judge import Reference
from ponder.train.lab.directional import DIRECTIONS, QUARTERS, Directional, directions
from ponder.train.lab.generated import Draft

starts = st.sampled_from(DIRECTIONS)
turns = st.lists(st.sampled_from(list(QUARTERS)), min_size=1, max_size=30)

TURN = {
    "North": {"Left": "West", "Right": "East", "Around": "South"},
    "West": {"Left": "South", "Right": "North", "Around": "East"},
    "South": {"Left": "East", "Right": "West", "Around": "North"},
    "East": {"Left": "North", "Right": "South", "Around": "West"},
}
"""Written down by hand, as on a compass."""


def worked(start: str, *actions: str) -> Draft:
    return directions(start, actions, random.Random(0))


def lines(draft: Draft) -> list[str]:
    return [step.text for step in draft.steps]


def follows(before: str, actions: list[str], line: str) -> list[str] | None:
    """Return the actions that a line leaves, or None if its direction is not the one that those before it lead to."""
    direction, _, rest = line.partition(": ")
    left = rest.split()
    done = actions[: len(actions) - len(left)]
    for action in done:
        before = TURN[before][action]
    return left if before == direction and actions[len(done) :] == left else None


# Cases by hand


def test_each_line_has_the_new_direction_and_the_actions_that_remain() -> None:
    draft = worked("North", "Left", "Right", "Around")
    assert lines(draft) == ["West: Right Around", "North: Around", "South"]
    assert draft.answer == "South"
    assert draft.question == "You face North. You turn Left, Right, Around. Which way do you face now?"


def test_skipping_executes_two_actions_in_one_line() -> None:
    assert worked("North", "Left", "Right", "Around").skipped == ("North: Around", "South")
    assert worked("East", "Around", "Left").skipped == ("South",) != ("North",)
    assert worked("East", "Left").skipped == ()


def test_all_turns_are_those_of_a_compass() -> None:
    for start, turned in TURN.items():
        for action, end in turned.items():
            assert worked(start, action).answer == end


# Any list of turns


@given(starts, turns)
def test_every_line_follows_from_the_one_before(start: str, actions: list[str]) -> None:
    draft = directions(start, actions, random.Random(0))
    assert len(draft.steps) == len(actions)
    facing, left = start, actions
    for line in lines(draft):
        remaining = follows(facing, left, line)
        assert remaining is not None
        assert len(remaining) == len(left) - 1
        facing, left = line.partition(":")[0], remaining
    assert (left, facing) == ([], draft.answer)
    assert [line for line in lines(draft) if ":" not in line] == [draft.answer]


@given(starts, turns)
def test_a_skipping_chain_is_as_true_and_half_as_long(start: str, actions: list[str]) -> None:
    skipped = directions(start, actions, random.Random(0)).skipped
    if len(actions) == 1:
        assert skipped == ()
        return
    assert len(skipped) == (len(actions) + 1) // 2
    facing, left = start, actions
    for line in skipped:
        remaining = follows(facing, left, line)
        assert remaining is not None
        facing, left = line.partition(":")[0], remaining
    assert facing == directions(start, actions, random.Random(0)).answer


@given(starts, turns, st.integers(0, 99))
def test_a_slip_turns_elsewhere(start: str, actions: list[str], seed: int) -> None:
    for step in directions(start, actions, random.Random(seed)).steps:
        assert step.slip.partition(":")[0] in DIRECTIONS
        assert step.slip.partition(":")[0] != step.text.partition(":")[0]
        assert step.slip.partition(":")[2] == step.text.partition(":")[2]


# The family


def test_the_numbers_of_actions_take_turns() -> None:
    puzzles = list(Directional("1-10", seed=3).puzzles(30))
    assert [puzzle.difficulty for puzzle in puzzles] == [*range(1, 11)] * 3
    for puzzle in puzzles:
        assert len(puzzle.steps) == puzzle.difficulty == len(puzzle.given.split()) - 2


@pytest.mark.parametrize(
    ("reply", "right"),
    [
        ("<think>\nWest: Right\nSouth\n</think>\n\n\\boxed{South}", True),
        ("\\boxed{south}", True),
        ("I face south now.", True),
        ("\\boxed{West}", False),
        ("<think>\nSouth", False),
    ],
)
def test_the_verifier_reads_a_direction(reply: str, right: bool) -> None:
    assert Directional.verifier(reply, Reference("South")).correct is right


@pytest.mark.parametrize("actions", ["0", "10-1", "101", "some"])
def test_actions_out_of_range_are_refused(actions: str) -> None:
    with pytest.raises(OptionError, match=r"Directional: actions = .* must be a number from 1 to 100"):
        Directional(actions)
