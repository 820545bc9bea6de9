"""Two thresholds decide which paths are followed: their worked numbers, and what becomes of each step."""

from __future__ import annotations

import math

import pytest

from ponder.core.problem import Prompt
from ponder.core.run import Call
from ponder.steer.branch import Branch
from ponder.steer.paths import Paths, mean, promise
from ponder.steer.tree import Node


def step(text: str, score: float, ended: bool = False) -> Branch:
    return Branch(Prompt(()), Call("think", "echo", (), 0, text), 0, ended, score)


def paths(early: float = 0.8, seek: float = 0.8, enough: int = 5) -> Paths:
    top = Node(Branch(Prompt(()), Call("think", "echo", (), 0)))
    return Paths(top, early, seek, enough, states=lambda branch: "lost" not in branch.call.text)


def texts(nodes: list[Node]) -> list[str]:
    return [node.branch.call.text for node in nodes]


def test_promise_golden() -> None:
    assert promise(1.5 / 3, 3, 8, 0.6) == pytest.approx(0.8182, abs=5e-5)
    assert (mean([]), mean([0.5, 1.0])) == (0.0, 0.75)


def test_the_threshold_of_leaving_golden() -> None:
    tree = paths()
    assert tree.stops_below() == -math.inf
    tree.done = [step(str(score), score, True) for score in (0.5, 0.7, 0.9)]
    assert tree.stops_below() == pytest.approx(0.56)
    tree.done *= 2
    assert tree.stops_below() == 0.9, "once more than enough have ended, the best of them without a factor"


def test_no_factor_is_no_early_stop_and_a_large_one_follows_nothing() -> None:
    tree = paths(early=0.0, seek=1e9)
    tree.done = [step("x", 0.9, True)]
    assert tree.stops_below() == 0.0
    (seat,) = tree.seats(1, 0.5)
    tree.take(seat[0], [step("a", 0.1), step("b", 0.9)], follow=False)
    assert (tree.followed, texts(tree.open)) == ([], ["a", "b"])


def test_a_step_that_was_looked_at_is_followed_above_the_mean_of_the_open_ones() -> None:
    for seek, followed in ((0.8, ["b"]), (1.2, ["b"]), (1.3, [])):
        tree = paths(seek=seek)
        tree.take(tree.seats(1, 0.0)[0][0], [step("a", 0.5), step("b", 0.8)], follow=False)
        assert texts(tree.followed) == followed, "0.8 against 0.65 times the factor"


def test_a_path_that_is_not_trusted_any_more_is_left_open() -> None:
    for score, followed in ((0.57, ["b"]), (0.55, [])):
        tree = paths()
        tree.done = [step("x", 0.7, True)]
        tree.take(tree.seats(1, 1.0)[0][0], [step("a", 0.1), step("b", score)], follow=True)
        assert texts(tree.followed) == followed
        assert texts(tree.open) == (["a"] if followed else ["a", "b"])


def test_seats_go_to_paths_first_and_then_to_what_is_most_promising() -> None:
    tree = paths(seek=1e9)
    ((top, follow),) = tree.seats(4, 0.5)
    assert (top is tree.top, follow) == (True, True)
    tree.take(top, [step(name, score) for name, score in zip("abcde", (0.1, 0.5, 0.9, 0.7, 0.3), strict=True)], follow)
    assert texts(tree.followed) == ["c"]
    seats = tree.seats(4, 0.5)
    assert [(node.branch.call.text, follow) for node, follow in seats] == [
        ("c", True),
        ("d", True),
        ("b", False),
        ("e", False),
    ]
    assert (texts(tree.open), tree.followed) == (["a"], [])


def test_paths_beyond_the_seats_are_open_again() -> None:
    tree = paths(seek=0.0)
    tree.take(tree.seats(1, 0.0)[0][0], [step("a", 0.5), step("b", 0.4)], follow=False)
    assert texts(tree.followed) == ["a"]
    assert tree.seats(0, 0.5) == []
    assert sorted(texts(tree.open)) == ["a", "b"]


def test_one_seat_at_half_a_share_follows_nothing() -> None:
    assert [follow for _, follow in paths().seats(1, 0.5)] == [False]
    tree = paths(seek=1e9)
    tree.take(tree.seats(1, 0.0)[0][0], [step("a", 0.5), step("b", 0.5), step("c", 0.5)], follow=False)
    assert [follow for _, follow in tree.seats(3, 0.5)] == [True, False, False], "one seat and a half are one"


def test_a_reply_that_has_ended_is_kept_and_its_path_is_over() -> None:
    tree = paths()
    tree.take(tree.seats(1, 1.0)[0][0], [step("a", 0.9, True), step("b", 0.8, True), step("c", 0.1)], follow=True)
    assert [branch.call.text for branch in tree.done] == ["a", "b"]
    assert (texts(tree.open), tree.followed) == (["c"], [])
    assert tree.top.values == [0.9, 0.8, 0.1]
    assert (tree.top.pending, tree.best_left().call.text) == (0, "c")


def test_equal_steps_are_one() -> None:
    tree = paths(seek=1e9)
    tree.take(tree.seats(1, 0.0)[0][0], [step("a", 0.4)] * 3, follow=False)
    assert (texts(tree.open), tree.open[0].values) == (["a"], [0.4] * 3)


def test_it_is_over_when_enough_have_ended_and_nothing_better_is_left() -> None:
    tree = paths(enough=2, seek=1e9)
    assert not tree.over()
    tree.take(tree.seats(1, 0.0)[0][0], [step("a", 0.5, True), step("b", 0.6), step("c", 0.4)], follow=False)
    assert not tree.over()
    tree.done.append(step("d", 0.55, True))
    assert not tree.over(), "b may still be better"
    tree.done.append(step("e", 0.7, True))
    assert tree.over()
    nothing = paths()
    nothing.seats(1, 0.0)
    assert nothing.over(), "nothing is left to go on with"


def test_scores_of_any_size_are_compared_alike() -> None:
    tree = paths(seek=0.8)
    tree.take(tree.seats(1, 0.0)[0][0], [step("a", -5.0), step("b", -1.0)], follow=False)
    assert texts(tree.followed) == ["b"], "1 against 0.8 times the mean of 0 and 1"


def test_a_reply_that_ended_without_an_answer_measures_nothing() -> None:
    tree = paths(enough=1)
    tree.take(tree.seats(1, 1.0)[0][0], [step("lost", 0.9, True), step("a", 0.5)], follow=True)
    assert (tree.done, [one.call.text for one in tree.lost], texts(tree.followed)) == ([], ["lost"], ["a"])
    assert (tree.stops_below(), tree.over()) == (-math.inf, False)
    assert tree.best_left().call.text == "a"
    (seat,) = tree.seats(1, 1.0)
    tree.take(seat[0], [step("a lost", 0.8, True), step("a lost too", 0.2, True)], follow=True)
    assert tree.over(), "nothing is left"
    assert tree.best_left().call.text == "lost"


def test_a_path_goes_on_at_its_threshold_and_the_best_reply_counts_once_more_than_enough_have_ended() -> None:
    tree = paths(early=1.0, enough=2)
    tree.done = [step("x", 0.5, True), step("y", 0.7, True)]
    assert tree.stops_below() == pytest.approx(0.6), "two are enough, and not more than enough"
    tree.done.append(step("z", 0.6, True))
    assert tree.stops_below() == 0.7
