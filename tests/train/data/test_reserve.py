"""The tree of whole rollouts: numbers worked out by hand, and what must hold for any tree."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.train.data.reserve import End, Node, Step, pairs, replies, reserve, select, stays, steps_of, uct

DICE = Random(0)


def steps(text: str, tokens: int = 1) -> list[Step]:
    return [Step(letter, tokens) for letter in text]


def grown(*rollouts: tuple[str, End]) -> Node:
    """Return a tree of rollouts from the root, a step for each letter."""
    root = Node()
    for text, end in rollouts:
        reserve(root, steps(text), end)
    return root


def at(root: Node, text: str) -> Node:
    for letter in text:
        root = next(child for child in root.children if child.step.text == letter)
    return root


def scored(wins: int, visits: int) -> Node:
    return Node(visits=visits, wins=wins)


@pytest.mark.parametrize(
    ("wins", "visits", "stay"),
    [
        (1, 4, True),
        (2, 4, False),
        (4, 4, False),
        (0, 4, False),
        (3, 4, True),
        (1, 5, True),
        (4, 5, True),
        (0, 0, False),
    ],
)
def test_a_node_stays_where_it_is_hard_or_not_quite_sure_golden(wins: int, visits: int, stay: bool) -> None:
    """(0, 0.25] and [0.75, 1): both outer ends are open, both inner ones closed."""
    assert stays(scored(wins, visits), 0.25, 0.75) == stay


def test_without_intervals_nothing_stays() -> None:
    assert not any(stays(scored(wins, 4), 0.0, 1.0) for wins in range(5))


def test_three_rollouts_of_ten_steps_are_eighteen_golden() -> None:
    """The second branches off after step 4 of the first, and the third after step 8: 10 + 6 + 2."""
    root = grown(("abcdefghij", "right"))
    reserve(at(root, "abcd"), steps("klmnop"), "wrong")
    reserve(at(root, "abcdefgh"), steps("qr"), "right")
    assert sum(1 for node in root.below() if node is not root) == 18
    assert sum(node.step.tokens for node in root.below()) == 18, "of the new nodes alone"
    assert [(at(root, way).wins, at(root, way).visits) for way in ("", "abcd", "abcde", "abcdefgh", "abcdk")] == [
        (2, 3), (2, 3), (2, 2), (2, 2), (0, 1),
    ]  # fmt: skip
    assert [node.text for node in replies(root, "right")] == ["abcdefghij", "abcdefghqr"]
    assert [node.tokens for node in replies(root, "wrong")] == [10]


def test_a_tie_goes_to_the_first_child_and_the_constant_shrinks_with_the_score() -> None:
    """Children 1/2 and 0/1 under 1/3. With c = 2 the second leads, as .5 + 2 √(ln 3 / 2) = 1.982 < 2 √ln 3 = 2.096;
    with c = 2/3 the first, as .5 + .494 = .994 > .699.
    """
    root = grown(("ab", "right"), ("ac", "wrong"), ("d", "wrong"))
    first, second = root.children
    assert uct(first, root, 2.0) == pytest.approx(0.5 + 2 * math.sqrt(math.log(3) / 2), abs=1e-12)
    assert (round(uct(first, root, 2.0), 3), round(uct(second, root, 2.0), 3)) == (1.982, 2.096)
    assert (round(uct(first, root, 2 / 3), 3), round(uct(second, root, 2 / 3), 3)) == (0.994, 0.699)
    ways = {id(select(root, 0.0, 1.0, 2.0, Random(seed))) for seed in range(20)}
    assert ways == {id(root), id(first)}, "the way goes through the first child; by the second only the root is proven"


def test_the_first_rollout_begins_at_the_root() -> None:
    assert select(root := Node(), 0.25, 0.75, 1.4, DICE) is root


def test_a_hard_question_stays_at_its_root_and_a_sure_one_is_passed() -> None:
    hard = grown(("a", "wrong"), ("b", "wrong"), ("c", "wrong"), ("d", "right"))
    assert select(hard, 0.25, 0.75, 1.4, DICE) is hard
    half = grown(("ab", "wrong"), ("ac", "wrong"), ("ad", "wrong"), ("ae", "right"), ("z", "right"), ("z", "right"),
                 ("z", "right"))  # fmt: skip
    assert half.score == 4 / 7
    assert select(half, 0.25, 0.75, 0.0, DICE).text in ("", "z"), "the surest child first"
    seldom = grown(("ab", "wrong"), ("ac", "wrong"), ("ad", "wrong"), ("ae", "right"),
                   *((f"z{end[0]}", end) for end in ("right", "right", "wrong", "right", "wrong") * 2))  # fmt: skip
    assert seldom.score == 0.5
    assert select(seldom, 0.25, 0.75, 10.0, DICE) is at(seldom, "a"), "7 of 14 is passed, and 1 of 4 stays"


def test_a_way_to_an_end_branches_off_where_something_was_right() -> None:
    """`ab` is always right, so the way goes to its end; it branches off at any node above it."""
    sure = grown(("abc", "right"), ("abc", "right"))
    found = {select(sure, 0.25, 0.75, 1.4, Random(seed)).text for seed in range(50)}
    assert found == {"", "a", "ab"}


def test_where_nothing_was_right_yet_all_begins_anew() -> None:
    lost = grown(("abc", "wrong"), ("abd", "cut"), ("xyz", "unjudged"))
    assert {select(lost, 0.25, 0.75, 1.4, Random(seed)).text for seed in range(50)} == {""}


def test_the_same_reply_is_one_node_and_counts_each_time() -> None:
    root = grown(("ab", "right"), ("ab", "right"), ("abc", "wrong"))
    assert [node.text for node in replies(root, "right")] == ["ab"]
    assert (at(root, "ab").visits, at(root, "ab").wins, at(root, "ab").ends) == (3, 2, ["right", "right"])
    assert select(root, 0.25, 0.9, 0.0, Random(1)) is not at(root, "abc")


def test_a_pair_parts_at_its_branching_point_golden() -> None:
    """After `a`, `b` is right in 2 of 2, `c` in 1 of 2 and `d` in 0 of 1: `b` against `d`, each by its shortest."""
    root = grown(("abxy", "right"), ("abz", "right"), ("ace", "right"), ("acf", "wrong"), ("adg", "wrong"))
    found = [(pair.shared.text, pair.chosen.text, pair.rejected.text) for pair in pairs(root)]
    assert found == [("a", "abz", "adg"), ("ac", "ace", "acf")]


def test_what_was_cut_or_not_judged_is_no_bad_example() -> None:
    for end in ("cut", "unjudged"):
        assert pairs(grown(("ab", "right"), ("ac", end))) == []  # type: ignore[arg-type]
    assert pairs(grown(("ab", "right"), ("ac", "right"))) == [], "equal branches teach nothing"


def texts(found: list[Step]) -> list[str]:
    return [step.text for step in found]


def test_steps_end_behind_the_delimiter_and_say_something() -> None:
    assert texts(steps_of([("one\n\ntwo\n\n", 4), ("three", 1)], "\n\n")) == ["one\n\n", "two\n\n", "three"]
    assert texts(steps_of([("\n\none\n\n\n\ntwo\n\n \n", 1)], "\n\n")) == ["\n\none\n\n\n\n", "two\n\n \n"]
    assert texts(steps_of([("never", 1)], "\n\n")) == ["never"], "a delimiter that never comes leaves one step"
    assert texts(steps_of([("\n\n", 1)], "\n\n")) == ["\n\n"]
    assert steps_of([], "\n\n") == []
    assert steps_of([("", 1)], "\n\n") == [Step("", 1)], "an end is a token, too"


def test_tokens_count_where_they_begin() -> None:
    pieces = [("on", 1), ("e\n", 1), ("\ntw", 1), ("o", 2), ("", 1)]
    assert steps_of(pieces, "\n\n") == [Step("one\n\n", 3), Step("two", 3)]


@given(st.lists(st.tuples(st.text(" ab\n", max_size=6), st.integers(0, 3))), st.sampled_from(["\n", "\n\n", "ab"]))
def test_steps_lose_neither_text_nor_tokens(pieces: list[tuple[str, int]], delimiter: str) -> None:
    found = steps_of(pieces, delimiter)
    assert "".join(step.text for step in found) == "".join(text for text, _ in pieces)
    assert sum(step.tokens for step in found) == sum(count for _, count in pieces)


@given(st.integers(0, 1000))
def test_every_rollout_is_counted_once_at_each_node_of_its_way(seed: int) -> None:
    dice, root = Random(seed), Node()
    for _ in range(20):
        node = select(root, 0.25, 0.75, 1.4, dice)
        assert node is root or node.children, "an end is never gone on with"
        more = "".join(dice.choice("ab") for _ in range(dice.randint(1, 4)))
        reserve(node, steps(more), dice.choice(("right", "wrong", "cut")))  # type: ignore[arg-type]
    assert root.visits == 20
    for node in root.below():
        assert node.visits == sum(child.visits for child in node.children) + len(node.ends)
        assert node.wins == sum(child.wins for child in node.children) + node.ends.count("right")
        assert len({child.step.text for child in node.children}) == len(node.children)
    for pair in pairs(root):
        assert pair.chosen.text.startswith(pair.shared.text)
        assert pair.rejected.text.startswith(pair.shared.text)
        assert "right" in pair.chosen.ends
        assert "wrong" in pair.rejected.ends
