"""The prefix tree against a plain list of everything that was put in."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.engines.torch.tree import PrefixTree, Segment, shared  # noqa: E402

Ids = list[int]


def keys(ids: Ids, start: int, end: int) -> Segment:
    """Stand-ins for keys and values: one number a position, that depends on all tokens up to it, as real ones do."""
    values = [float(hash(tuple(ids[: at + 1])) % 100003) for at in range(start, end)]
    return [torch.tensor(values).view(1, -1, 1), -torch.tensor(values).view(1, -1, 1)]


def put(tree: PrefixTree, ids: Ids) -> None:
    tree.insert(ids, lambda start, end: keys(ids, start, end))


def found(tree: PrefixTree, ids: Ids) -> list[float]:
    parts = tree.match(ids)
    for first, second in parts:
        assert torch.equal(first, -second)
    assert tree.known(ids) == sum(first.shape[1] for first, _ in parts)
    return [float(value) for first, _ in parts for value in first.flatten()]


def expected(ids: Ids, length: int) -> list[float]:
    return [float(value) for value in keys(ids, 0, length)[0].flatten()] if length else []


def test_an_empty_tree_knows_nothing() -> None:
    tree = PrefixTree(100)
    assert tree.match([1, 2]) == []
    assert tree.match([]) == []


def test_the_longest_beginning_is_found_also_in_the_middle_of_a_run() -> None:
    tree = PrefixTree(100)
    put(tree, [1, 2, 3, 4])
    assert found(tree, [1, 2, 3, 4, 5]) == expected([1, 2, 3, 4], 4)
    assert found(tree, [1, 2, 9]) == expected([1, 2], 2)
    assert found(tree, [2, 3]) == []


def test_a_fork_stores_only_its_own_part() -> None:
    tree = PrefixTree(100)
    put(tree, [1, 2, 3, 4])
    put(tree, [1, 2, 8, 9])
    put(tree, [1, 2, 3, 4])
    assert tree.tokens == 6
    assert found(tree, [1, 2, 3, 4]) == expected([1, 2, 3, 4], 4)
    assert found(tree, [1, 2, 8, 9]) == expected([1, 2, 8, 9], 4)


def test_only_the_unknown_part_is_read() -> None:
    tree = PrefixTree(100)
    put(tree, [1, 2, 3])
    asked = []

    def read(start: int, end: int) -> Segment:
        asked.append((start, end))
        return keys([1, 2, 3, 4, 5], start, end)

    tree.insert([1, 2, 3, 4, 5], read)
    tree.insert([1, 2], read)
    assert asked == [(3, 5)]


def test_what_was_used_longest_ago_goes_first() -> None:
    tree = PrefixTree(9)
    for first in (10, 20, 30):
        put(tree, [first, first + 1, first + 2])
    assert len(tree.match([10, 11, 12])) == 1
    put(tree, [40, 41, 42])
    assert tree.tokens == 9
    assert found(tree, [20, 21, 22]) == []
    assert found(tree, [10, 11, 12]) == expected([10, 11, 12], 3)


def test_a_trunk_outlives_its_branches() -> None:
    tree = PrefixTree(6)
    put(tree, [1, 2, 3, 4])
    put(tree, [1, 2, 3, 5])
    put(tree, [1, 2, 3, 6, 7])
    assert tree.tokens <= 6
    assert found(tree, [1, 2, 3, 6, 7]) == expected([1, 2, 3, 6, 7], 5)


def test_a_limit_of_zero_keeps_nothing() -> None:
    tree = PrefixTree(0)
    put(tree, [1, 2, 3])
    assert tree.tokens == 0
    assert tree.match([1, 2, 3]) == []


def test_each_way_to_compute_has_a_tree_of_its_own_under_one_limit() -> None:
    tree, ids = PrefixTree(7), [1, 2, 3]
    ways = [(), (("a", 0.5),), (("a", 1.0),)]
    for number, way in enumerate(ways[:2]):
        tree.insert(ids, lambda start, end, number=number: keys([number, *ids], start + 1, end + 1), way)  # type: ignore[misc]
    assert tree.tokens == 6
    plain, other = (tree.match(ids, way)[0][0] for way in ways[:2])
    assert not torch.equal(plain, other)
    assert tree.match(ids, ways[2]) == []
    tree.insert([4, 5], lambda start, end: keys([4, 5], start, end), ways[2])
    assert tree.tokens == 5
    assert [bool(tree.match(ids, way)) for way in ways] == [False, True, False]
    assert len(tree._roots) == 2


def test_halves_of_a_run_share_no_memory() -> None:
    tree = PrefixTree(100)
    put(tree, list(range(50)))
    put(tree, [*range(10), 99])
    (upper, lower) = tree.match(list(range(50)))
    assert upper[0].untyped_storage().nbytes() == 10 * 4
    assert lower[0].untyped_storage().nbytes() == 40 * 4


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=12), st.lists(st.integers(0, 2), max_size=8))
def test_it_finds_what_a_list_would_find(stored: list[Ids], wanted: Ids) -> None:
    tree = PrefixTree(10**6)
    for ids in stored:
        put(tree, ids)
    best = max((shared(ids, wanted) for ids in stored), default=0)
    assert found(tree, wanted) == expected(wanted, best)
    assert tree.tokens == len({tuple(ids[:n]) for ids in stored for n in range(1, len(ids) + 1)})


@settings(max_examples=80, deadline=None)
@given(st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=16), st.integers(0, 12))
def test_the_limit_holds_and_what_is_left_is_right(stored: list[Ids], limit: int) -> None:
    tree = PrefixTree(limit)
    for ids in stored:
        put(tree, ids)
        assert tree.tokens <= limit
    for ids in stored:
        values = found(tree, ids)
        assert values == expected(ids, len(values))


@pytest.mark.parametrize(
    ("a", "b", "length"), [([], [1], 0), ([1, 2], [1, 2], 2), ([1, 2], [1, 3], 1), ([1], [1, 2], 1)]
)
def test_shared(a: Ids, b: Ids, length: int) -> None:
    assert shared(a, b) == shared(b, a) == length


@given(st.lists(st.integers(0, 1), max_size=9), st.lists(st.integers(0, 1), max_size=9), st.booleans())
def test_what_two_sequences_share_is_counted_token_by_token(a: list[int], b: list[int], longer: bool) -> None:
    b = a + b if longer else b
    expected = 0
    while expected < min(len(a), len(b)) and a[expected] == b[expected]:
        expected += 1
    assert shared(a, tuple(b)) == shared(b, a) == expected
