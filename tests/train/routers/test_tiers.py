"""Tiers: the best cut, also by trying all, and choices that share one."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.arena import arena

from ponder.core.errors import DataError
from ponder.train.routers.tiers import abilities, tiers, tiers_of


def test_clusters_are_found_in_any_order() -> None:
    values = [5.0, 0.1, 2.1, 0.0, 5.2, 2.0]
    assert tiers(values, 3).tolist() == [2, 0, 1, 0, 2, 1]


def test_as_many_tiers_as_models_at_most() -> None:
    assert tiers([3.0, 1.0, 2.0], 10).tolist() == [2, 0, 1]


def spread(values: list[float], found: list[int]) -> float:
    groups = [[v for v, tier in zip(values, found, strict=True) if tier == t] for t in set(found)]
    return math.fsum(sum((v - sum(group) / len(group)) ** 2 for v in group) for group in groups)


@given(st.lists(st.floats(-5, 5), min_size=3, max_size=8), st.integers(2, 3))
def test_no_other_cut_has_less_variance(values: list[float], count: int) -> None:
    found = tiers(values, count).tolist()
    ranked = sorted(values)
    others = []
    for cuts in combinations(range(1, len(values)), count - 1):
        edges = [0, *cuts, len(values)]
        others.append(spread(ranked, [t for t in range(count) for _ in range(edges[t], edges[t + 1])]))
    assert spread(values, found) <= min(others) + 1e-6
    assert set(found) == set(range(count))


def test_the_arenas_abilities_grow_with_the_models() -> None:
    battles = arena(20_000).battles
    assert battles is not None
    found = abilities(battles)
    assert (np.diff(found) > 0).all()
    assert len(set(tiers(found).tolist())) == 10


def test_choices_have_the_tiers_of_their_models() -> None:
    assert tiers_of(("b", "a"), ("a", "b", "c"), np.array([2, 0, 1])).tolist() == [0, 2]


def test_choices_that_share_a_tier_are_told() -> None:
    with pytest.raises(DataError, match="a and b are about equally good and share a tier"):
        tiers_of(("a", "b"), ("a", "b"), np.array([1, 1]))


def test_a_choice_that_nobody_compared_is_told() -> None:
    with pytest.raises(DataError, match="no row compares 'z'"):
        tiers_of(("a", "z"), ("a", "b"), np.array([0, 1]))
