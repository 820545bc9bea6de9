"""A race on the clock of tokens."""

from __future__ import annotations

from ponder.steer.race import Race


def test_the_good_branch_with_the_fewest_tokens_wins_whoever_ends_first() -> None:
    race = Race(3)
    for index, spent in enumerate((9, 5, 5)):
        race.purses[index].spent = spent
    assert race.winner is None
    race.good(0)
    assert (race.winner, [purse.total for purse in race.purses]) == (0, [10, 10, 10])
    race.good(2)
    assert (race.winner, [purse.total for purse in race.purses]) == (2, [6, 6, 6])
    race.good(1)
    assert race.winner == 1, "of equal ones the first"


def test_a_branch_that_is_past_a_good_one_has_lost() -> None:
    race = Race(3)
    for index, spent in enumerate((4, 4, 5)):
        race.purses[index].spent = spent
    race.good(0)
    assert [race.lost(index) for index in range(3)] == [False, False, True]
