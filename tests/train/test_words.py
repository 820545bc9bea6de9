from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ponder.core.errors import DataError
from ponder.routers.state import load_state
from ponder.routers.words import Weights
from ponder.text.ngrams import BUCKETS, hashed
from ponder.train.words import Labelled, fit, fold_of, save, shares, sparse

COLOURS = ("red", "green", "blue")


def rows(count: int = 30) -> list[Labelled]:
    """Return questions whose word says which choice suits, and a second word that says nothing."""
    nouns = ("tree", "house", "river", "stone")
    return [
        Labelled(f"{COLOURS[i % 3]} {nouns[i % 4]}", tuple(float(i % 3 == j) for j in range(3)), "made")
        for i in range(count)
    ]


def test_sparse_products_are_those_of_the_dense_matrix() -> None:
    data = sparse([{0: 1.0, 5: 2.0}, {5: 3.0}, {1: 0.5, 2: 0.5, 4095: 1.0}])
    dense = np.zeros((3, BUCKETS))
    dense[0, [0, 5]], dense[1, 5], dense[2, [1, 2, 4095]] = (1, 2), 3, (0.5, 0.5, 1)
    dice = np.random.default_rng(0)
    weights, outer = dice.normal(size=(2, BUCKETS)), dice.normal(size=(3, 2))
    np.testing.assert_allclose(data.times(weights), dense @ weights.T)
    np.testing.assert_allclose(data.sums(outer), outer.T @ dense)


def test_what_a_word_says_is_learnt() -> None:
    data = rows()
    weights = fit(data, COLOURS, "softmax", steps=100)
    found = shares(weights, [Labelled("a red star", (1, 0, 0), ""), Labelled("blue", (0, 0, 1), "")], "softmax")
    assert found.argmax(axis=1).tolist() == [0, 2]
    np.testing.assert_allclose(found.sum(axis=1), 1)


def test_the_gradient_is_zero_where_the_fit_has_come_to_rest() -> None:
    """With decay the loss is strictly convex: its one minimum has no gradient, reckoned here by hand."""
    data, decay = rows(12), 1e-2
    weights = fit(data, COLOURS, "sigmoid", decay=decay, steps=3000)
    dense = np.zeros((24, BUCKETS))
    for place, (row, words) in enumerate((row, words) for words in (True, False) for row in data):
        for bucket, value in hashed(row.question, words).items():
            dense[place, bucket] = value
    wanted = np.array([row.wanted for row in data] * 2)
    gradient = (1 / (1 + np.exp(-dense @ weights.T)) - wanted).T @ dense / 24 + decay * weights
    assert np.abs(gradient).max() < 1e-3


def test_a_rare_choice_counts_as_much_as_a_frequent_one() -> None:
    often = [Labelled(f"stone {word}", (1.0, 0.0), "") for word in ("one", "two", "three", "four") * 10]
    rare = [Labelled("stone moon", (0.0, 1.0), "")]
    weights = fit([*often, *rare], ("a", "b"), "softmax", steps=200)
    by_shape = shares(weights, [Labelled("water", (0, 0), "")], "softmax", words=False)
    assert by_shape[0] == pytest.approx([0.5, 0.5], abs=0.15)


@pytest.mark.parametrize("wanted", [(1.0, 0.0, 0.0), (1.0, 1.0, 0.0)])
def test_a_choice_that_is_the_same_for_all_is_refused(wanted: tuple[float, ...]) -> None:
    data = [Labelled(f"q{i}", wanted, "") for i in range(3)]
    with pytest.raises(DataError, match="equally good for all 3 questions; there is nothing to learn"):
        fit(data, COLOURS, "sigmoid")
    with pytest.raises(DataError, match="all 0 questions"):
        fit([], COLOURS, "softmax")


def test_questions_that_begin_alike_share_a_fold() -> None:
    one = "Ann has 12 red pens and some blue ones"
    folds = {fold_of(Labelled(f"{one}. Variant {i}", (), ""), 5) for i in range(20)}
    assert len(folds) == 1
    assert {fold_of(Labelled(f"{i} pens", (), ""), 5) for i in range(50)} == set(range(5))


def test_what_is_saved_is_what_the_router_reads(tmp_path: Path) -> None:
    weights = fit(rows(), COLOURS, "softmax", steps=50)
    save(tmp_path / "r", weights, COLOURS, "softmax", {"questions": 30})
    read = Weights.of(load_state(tmp_path / "r", "words"))
    here = shares(weights, [Labelled("a red star", (), "")], "softmax")[0]
    assert list(read.rate("a red star").values()) == pytest.approx(here.tolist(), abs=1e-5)
    with pytest.raises(DataError, match="not an empty folder"):
        save(tmp_path / "r", weights, COLOURS, "softmax", {})
