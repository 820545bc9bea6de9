"""Selection and back-up, by the worked numbers of the formulas."""

from __future__ import annotations

import math
import random
from dataclasses import replace
from math import inf

import pytest

from ponder.core.engine import Logprob
from ponder.core.problem import Prompt
from ponder.core.run import Call, Run
from ponder.core.trace import Place
from ponder.engines.echo import Echo
from ponder.steer.branch import Branch
from ponder.steer.tree import Node, Scale, come_back, likelihood, most_visited, note_visits, puct, select, uct


def step(text: str, ended: bool = False) -> Branch:
    return Branch(Prompt(()), Call("think", "echo", (), 0, text), 0, ended)


def ucb(mean: float, visits: int, parent: int, prior: float) -> float:
    return uct(mean, visits, parent, 1.0)


def greedy(mean: float, visits: int, parent: int, prior: float) -> float:
    return uct(mean, visits, parent, 0.0)


def test_uct_golden() -> None:
    assert uct(0.6, 10, 14, 1.414) == pytest.approx(1.3264, abs=5e-5)
    assert uct(0.7, 4, 14, 1.414) == pytest.approx(1.8485, abs=5e-5)
    assert uct(0.0, 0, 14, 1.0) == math.inf


def test_puct_golden() -> None:
    assert puct(0.6, 10, 14, 0.7, 1.0) == pytest.approx(0.8381, abs=5e-5)
    assert puct(0.7, 4, 14, 0.3, 1.0) == pytest.approx(0.9245, abs=5e-5)


def test_values_in_0_to_1_stay_as_they_are_and_others_are_spread() -> None:
    assert [Scale([0.2, 0.6])(value) for value in (0.2, 0.6)] == [0.2, 0.6]
    assert [Scale([-3.0, -1.0, -2.0])(value) for value in (-3.0, -2.0, -1.0)] == [0.0, 0.5, 1.0]
    assert Scale([-2.0, -2.0])(-2.0) == 0.5
    odd = Scale([-math.inf, -4.0, -2.0, math.inf])
    assert [odd(value) for value in (-math.inf, -4.0, -3.0, math.inf)] == [0.0, 0.0, 0.5, 1.0]
    assert Scale([])(0.3) == 0.3


def visit(root: Node, text: str, value: float, mass: float = 1.0) -> Node:
    """Select a node, and let the visit write `text` behind what stands there."""
    leaf = select(root, 2, ucb)
    assert leaf is not None
    return come_back(leaf, step(leaf.branch.call.text + text), mass, value)


def test_a_node_is_filled_with_steps_before_one_goes_deeper() -> None:
    root = Node(step(""))
    first, second = visit(root, "a", 0.9), visit(root, "b", 0.1)
    assert [child.branch.call.text for child in root.children] == ["a", "b"]
    third = visit(root, "c", 0.5)
    assert third.parent is first, "0.9 + √(ln 2) against 0.1 + √(ln 2)"
    assert (third.depth, first.values, second.values, root.values) == (2, [0.9, 0.5], [0.1], [0.9, 0.1, 0.5])


def test_equal_steps_are_one_and_their_probabilities_add_up() -> None:
    root = Node(step(""))
    first = visit(root, "a", 1.0, mass=0.3)
    assert visit(root, "a", 0.0, mass=0.3) is first
    assert (len(root.children), first.mass, first.prior(), first.values) == (1, 0.6, 1.0, [1.0, 0.0])
    other = Node(step("b"), root, 0.2)
    root.children.append(other)
    assert other.prior() == pytest.approx(0.25)
    assert Node(step("")).prior() == 1.0


def test_visits_on_their_way_count_as_losses() -> None:
    root = Node(step(""))
    first, second = visit(root, "a", 0.6), visit(root, "b", 0.5)
    assert select(root, 2, ucb) is first
    assert (first.pending, first.visits, first.mean(Scale(root.values))) == (1, 2, 0.3)
    assert select(root, 2, ucb) is second, "its sibling is already looked after"
    come_back(first, step("ac"), 1.0, 0.6)
    assert (first.pending, first.values, second.pending) == (0, [0.6, 0.6], 1)


def test_nothing_is_selected_where_all_steps_are_on_their_way() -> None:
    root = Node(step(""))
    assert [select(root, 2, ucb), select(root, 2, ucb), select(root, 2, ucb)] == [root, root, None]
    assert (root.pending, root.drawn) == (2, 2)


def test_a_reply_that_has_ended_is_visited_again_and_still_backs_up() -> None:
    root = Node(step(""))
    leaf = select(root, 1, greedy)
    assert leaf is root
    end = come_back(root, step("a", ended=True), 1.0, 0.8)
    assert select(root, 1, greedy) is end
    assert come_back(end, end.branch, 1.0, 0.8) is end
    assert (root.values, end.values, end.pending, end.drawn) == ([0.8, 0.8], [0.8, 0.8], 0, 0)


def test_the_most_visited_way() -> None:
    root = Node(step(""))
    assert most_visited(root) is root
    first, second = visit(root, "a", 0.1), visit(root, "b", 0.1)
    assert most_visited(root) is first, "of equal ones the first"
    second.values.append(0.0)
    assert most_visited(root) is second
    first.values.append(0.4)
    assert most_visited(root) is first, "of equally many the better"


@pytest.mark.parametrize("seed", range(10))
def test_every_visit_is_counted_once_at_every_node(seed: int) -> None:
    dice = random.Random(seed)
    root = Node(step(""))
    for count in range(1, 60):
        leaf = select(root, 3, ucb)
        assert leaf is not None
        ended = leaf.depth == 3
        text = leaf.branch.call.text + dice.choice("abcd")
        come_back(leaf, leaf.branch if leaf.branch.ended else step(text, ended), dice.random(), dice.gauss(0, 3))
        assert len(root.values) == count
    nodes = [root]
    for node in nodes:
        nodes += node.children
        assert node.pending == 0
        own = len(node.values) - sum(len(child.values) for child in node.children)
        assert own >= 0
        assert node.parent is not None or own == 0
        assert node.drawn <= 3
        assert sum(child.prior() for child in node.children) == pytest.approx(1.0 if node.children else 0.0)


def test_visits_and_means_are_noted_for_those_who_look_at_the_tree() -> None:
    run = Run(Echo())
    root, values = Node(step("")), (1e308, 1e308, inf, -inf)
    for place, value in enumerate(values):
        run.trace.tree[place] = Place()
        child = Node(replace(step(f"s{place}"), at=place), root, values=[value, value if place else 0.0])
        root.children.append(child)
    root.children[3].values.append(inf)
    run.trace.tree[1].score = 0.5
    note_visits(root, run)
    found = [(place.visits, place.score) for _, place in sorted(run.trace.tree.items())]
    assert found == [(2, 5e307), (2, 0.5), (2, inf), (3, None)]


def test_likelihood_is_that_of_a_token_in_the_mean() -> None:
    assert likelihood([Logprob("a", math.log(0.5)), Logprob("b", math.log(0.125))]) == pytest.approx(0.25)
    assert likelihood([]) == 1.0
