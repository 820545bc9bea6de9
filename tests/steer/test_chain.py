"""The course of a reply through the layers, and the vote for the most ordinary one, by the worked numbers."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.steer.chain import course, most_ordinary, spread

ONE = ((1, 0), (0.8, 0.6), (0, 1))
TWO = ((1, 0), (0.8, 0.6), (0.1, 1))
THREE = ((1, 0), (0, 1), (-1, 0))
F = (0.03983, 0.03468, 0.20704)


def block(*tokens: tuple[tuple[float, ...], ...]) -> memoryview:
    """Return states as an engine gives them: (tokens, layers, size) in float32."""
    values = [value for token in tokens for layer in token for value in layer]
    raw = memoryview(struct.pack(f"{len(values)}f", *values))
    return raw.cast("f", (len(tokens), len(tokens[0]), len(tokens[0][0])))  # type: ignore[call-overload]


@pytest.mark.parametrize(("states", "expected"), list(zip((ONE, TWO, THREE), F, strict=True)))
def test_the_worked_features(states: tuple[tuple[float, ...], ...], expected: float) -> None:
    """The third has an exact angle of pi, which only the clamp moves, and only in single precision is it off."""
    assert course([block(states)], 1, 1) == [pytest.approx(expected, abs=1e-4)]


def test_the_worked_distances() -> None:
    assert spread(F) == pytest.approx([0.013991, 0.014866, 0.028831], abs=2e-5)
    assert most_ordinary([[value] for value in F]) == (0, 1)


def test_states_are_means_over_the_tokens_so_far_wherever_the_blocks_are_cut() -> None:
    tokens = [ONE, THREE, TWO, ONE]
    whole = course([block(*tokens)], 1, 4)
    assert course([block(*tokens[:1]), block(*tokens[1:])], 1, 4) == whole
    mean = tuple(tuple((a + b) / 2 for a, b in zip(*layers, strict=True)) for layers in zip(ONE, THREE, strict=True))
    assert whole[0] == pytest.approx(F[0], abs=1e-4)
    assert whole[1] == pytest.approx(course([block(mean)], 1, 1)[0], abs=1e-6)
    assert course([block(*tokens)], 2, 3) == whole[1:3]


def test_a_reply_that_has_ended_stays_where_it_is() -> None:
    whole = course([block(ONE, TWO)], 1, 2)
    assert course([block(ONE, TWO)], 1, 5) == [*whole, *[whole[1]] * 3]
    assert course([block(ONE, TWO)], 4, 5) == [whole[1]] * 2
    assert course([], 1, 5) == []


@given(st.floats(0.01, 1000))
def test_a_common_scale_changes_nothing(scale: float) -> None:
    scaled = tuple(tuple(scale * value for value in layer) for layer in TWO)
    assert course([block(scaled)], 1, 1)[0] == pytest.approx(F[1], abs=1e-4)


def test_states_that_do_not_move_are_no_error() -> None:
    still = ((1.0, 0.0),) * 3
    nothing = ((0.0, 0.0),) * 3
    for states in (still, nothing, ((1.0, 0.0), (0.0, 1.0), (1.0, 0.0))):
        (feature,) = course([block(states)], 1, 1)
        assert abs(feature) < float("inf")


def test_equal_replies_are_equally_far_apart_and_the_first_wins() -> None:
    assert spread([0.3] * 4) == [0.0] * 4
    assert most_ordinary([[0.3, 0.1]] * 4) == (0, 2)
    assert spread([0.3]) == [0.0]
    assert most_ordinary([[0.3]]) == (0, 1)


def test_most_votes_win_and_ties_go_to_the_first() -> None:
    assert most_ordinary([[9, 9, 0], [1, 1, 9], [0, 0, 1]]) == (1, 2)
    assert most_ordinary([[0, 9], [1, 5], [9, 4]]) == (1, 2)
    assert most_ordinary([[9, 1], [1, 9], [0, 0]]) == (0, 1)


def test_a_reply_without_states_cannot_win_unless_none_has_any() -> None:
    assert most_ordinary([[], [5.0], [1.0], [0.0]]) == (2, 1)
    assert most_ordinary([[], []]) == (0, 0)
