"""Features: tf-idf that is the same wherever it is computed, and refusals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ponder.core.errors import DataError
from ponder.routers.features import counted, embedder, rarity, trained_on, weighed
from ponder.routers.state import TOML, State, save_state

PLACES = 4096


def test_words_and_neighbours_are_counted() -> None:
    vector = counted("red red fox", PLACES)
    # red twice, fox, "red red", "red fox": four terms.
    assert sorted(np.abs(vector[vector != 0]).round(4)) == pytest.approx([1, 1, 1, 1 + np.log(2)], abs=1e-4)


def test_hashing_is_the_same_on_every_machine() -> None:
    # CRC-32 of "fox" is 262_201_574; its highest bit is the sign.
    vector = counted("fox", 1000)
    assert np.flatnonzero(vector).tolist() == [574]
    assert vector[574] == -1
    assert counted("Fox!", PLACES) == pytest.approx(counted("fox !", PLACES))


def test_rare_words_weigh_more() -> None:
    counts = np.stack([counted(text, PLACES) for text in ("the fox", "the dog", "the cow")])
    idf = rarity(counts)
    common, rare = (int(np.flatnonzero(counted(word, PLACES))[0]) for word in ("the", "fox"))
    assert idf[common] == pytest.approx(1)
    assert idf[rare] == pytest.approx(np.log(4 / 2) + 1)


def test_vectors_have_length_one_and_empty_texts_none() -> None:
    idf = np.ones(PLACES, np.float32)
    assert np.linalg.norm(weighed(counted("a fox", PLACES), idf)) == pytest.approx(1)
    assert not weighed(counted("", PLACES), idf).any()
    both = np.stack([counted("a fox", PLACES), counted("", PLACES)])
    assert np.linalg.norm(weighed(both, idf), axis=1) == pytest.approx([1, 0])


def test_a_state_with_words_embeds_without_an_encoder() -> None:
    idf = np.arange(1, PLACES + 1, dtype=np.float32)
    embed = embedder(State(Path("r"), ("a", "b"), {"features": "words"}, {"idf": idf}), "")
    assert embed("a fox") == pytest.approx(weighed(counted("a fox", PLACES), idf))


def test_unknown_features_are_told() -> None:
    with pytest.raises(DataError, match="features = 'smells' must be words or encoder"):
        embedder(State(Path("r"), ("a", "b"), {"features": "smells"}, {}), "")


def test_a_router_that_changes_to_an_encoder_that_is_not_there_leaves_the_old_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, arrays = tmp_path / "r", {"idf": np.ones(PLACES, np.float32)}
    save_state(folder, "ranking", ("a", "b"), {"features": "words", "encoder": "nowhere"}, arrays)
    first, embed = trained_on(str(folder), "ranking", _choices, "")
    assert first == ("a", "b")
    assert embed("a fox") == pytest.approx(weighed(counted("a fox", PLACES), arrays["idf"]))
    card = folder / TOML
    card.write_text(card.read_text().replace('"words"', '"encoder"'))
    assert trained_on(str(folder), "ranking", _choices, "")[1] is embed
    assert "there is no encoder folder" in caplog.text
    with pytest.raises(DataError, match="there is no encoder folder"):
        trained_on(str(folder), "ranking", _choices, "elsewhere")


def _choices(state: State) -> tuple[str, ...]:
    return state.choices
