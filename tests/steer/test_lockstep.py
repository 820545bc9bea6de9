"""Readers that wait for one another, whoever is quick and whoever ends early."""

from __future__ import annotations

import asyncio
import random

import pytest

from ponder.core.engine import Chunk
from ponder.core.gather import gather
from ponder.steer.lockstep import Lane, Lockstep


class Watch:
    """Notes what it sees at each length, and decides at `when`."""

    def __init__(self, when: int, winner: int = 0) -> None:
        self.when, self.winner = when, winner
        self.seen: list[tuple[int, tuple[int, ...], tuple[bool, ...]]] = []

    def __call__(self, lanes: list[Lane], length: int) -> int | None:
        self.seen.append((length, tuple(len(lane.tokens) for lane in lanes), tuple(lane.ended for lane in lanes)))
        return self.winner if length == self.when else None


async def read(race: Lockstep, index: int, chunks: list[Chunk], seed: int) -> int:
    """Read chunks with pauses as dice have it; return how many tokens were read."""
    dice = random.Random(seed)
    tokens = 0
    for chunk in chunks:
        for _ in range(dice.randint(0, 4)):
            await asyncio.sleep(0)
        tokens += chunk.tokens
        await race.arrive(index, chunk)
        if race.winner not in (None, index):
            break
    race.end(index)
    return tokens


def words(count: int, ids: bool = True) -> list[Chunk]:
    return [Chunk("w", token_ids=(number,) if ids else ()) for number in range(count)]


@pytest.mark.parametrize("seed", range(5))
async def test_all_are_equally_far_at_each_length_and_losers_read_no_further(seed: int) -> None:
    watch = Watch(4, winner=1)
    race = Lockstep(3, watch)
    counts = await gather(read(race, index, words(9), seed * 10 + index) for index in range(3))
    assert counts == [4, 9, 4]
    assert watch.seen == [(length, (length,) * 3, (False,) * 3) for length in range(1, 5)]


@pytest.mark.parametrize("seed", range(5))
async def test_what_is_seen_does_not_depend_on_who_is_quick(seed: int) -> None:
    """Lane 1 ends with its third token, lane 2 is found to have ended after its fourth, lane 0 gets two at a time."""
    watch = Watch(6)
    race = Lockstep(3, watch)
    pairs = [Chunk("ab", tokens=2, token_ids=(1, 2))] * 4
    ends = [*words(2), Chunk("w", token_ids=(2,), finish="stop")]
    late = [*words(4), Chunk("", tokens=0, finish="stop")]
    counts = await gather(read(race, index, lane, seed * 10 + index) for index, lane in enumerate([pairs, ends, late]))
    assert counts == [8, 3, 4]
    assert watch.seen == [
        (1, (2, 1, 1), (False, False, False)),
        (2, (2, 2, 2), (False, False, False)),
        (3, (4, 3, 3), (False, True, False)),
        (4, (4, 3, 4), (False, True, False)),
        (5, (6, 3, 4), (False, True, True)),
        (6, (6, 3, 4), (False, True, True)),
    ]


async def test_lanes_that_never_begin_hold_nobody_up() -> None:
    watch = Watch(3)
    race = Lockstep(2, watch)
    assert await gather([read(race, 0, words(5), 1), read(race, 1, [], 2)]) == [5, 0]
    assert watch.seen[-1] == (3, (3, 0), (False, True))


def test_tokens_without_ids_are_told_apart_by_their_text() -> None:
    lane = Lane()
    for chunk in (Chunk("a", token_ids=(7,)), Chunk("bc", tokens=2), Chunk("d", tokens=0), Chunk("e")):
        lane.take(chunk)
    assert lane.tokens == [7, "bc", "bc", "e"]
