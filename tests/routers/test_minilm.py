"""The encoder in numpy: vectors of length one, the same as transformers computes, and refusals."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from support.bert import LAYERS, PIECES, PLACES, WIDTH, tiny_bert

from ponder.core.errors import DataError
from ponder.routers.features import embedder
from ponder.routers.minilm import open_encoder
from ponder.routers.state import State
from ponder.routers.wordpiece import encode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny_bert(tmp_path / "bert")


def test_a_vector_has_length_one_and_is_the_same_each_time(folder: Path) -> None:
    encoder = open_encoder(folder)
    assert (encoder.width, len(encoder.layers)) == (WIDTH, LAYERS)
    vector = encoder.embed("what is 2+3?")
    assert vector.shape == (WIDTH,)
    assert vector.dtype == np.float32
    assert np.linalg.norm(vector) == pytest.approx(1)
    assert (encoder.embed("What is 2 + 3 ?") == vector).all()
    assert encoder.embed("prove it") @ vector < 0.999


def test_empty_and_endless_texts_have_vectors(folder: Path) -> None:
    encoder = open_encoder(folder)
    for text in ("", "二", "a " * 1000):
        assert np.isfinite(encoder.embed(text)).all()
    assert (encoder.embed("a " * 1000) == encoder.embed("a " * (PLACES + 5))).all()


def test_the_folder_is_read_once(folder: Path) -> None:
    assert open_encoder(folder) is open_encoder(folder / ".." / "bert")


@pytest.mark.torch
def test_it_computes_what_transformers_computes(folder: Path) -> None:
    torch = pytest.importorskip("torch")
    from transformers import BertConfig, BertModel

    model = BertModel(BertConfig(**json.loads((folder / "config.json").read_text())), add_pooling_layer=False)
    from safetensors.torch import load_file

    missing, extra = model.load_state_dict(load_file(folder / "model.safetensors"), strict=False)
    assert ([name for name in missing if "position_ids" not in name], list(extra)) == ([], [])
    model.eval()
    vocabulary = {piece: index for index, piece in enumerate(PIECES)}
    for text in ("what is 2+3?", "a", "the quick brown fox"):
        with torch.no_grad():
            states = model(torch.tensor([encode(text, vocabulary, PLACES)])).last_hidden_state[0]
        expected = states.mean(0).numpy()
        assert open_encoder(folder).embed(text) == pytest.approx(expected / np.linalg.norm(expected), abs=2e-3)


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("config.json", '{"model_type": "gpt2"}', "model_type must be bert"),
        ("config.json", '{"model_type": "bert", "hidden_act": "gelu"}', "lacks a part of a BERT"),
        ("config.json", "{", "cannot be read as JSON"),
        ("model.safetensors", "", "is cut short"),
    ],
)
def test_what_is_no_encoder_is_told(folder: Path, file: str, text: str, message: str) -> None:
    (folder / file).write_text(text)
    with pytest.raises(DataError, match=message):
        open_encoder(folder)


def test_a_missing_folder_and_a_missing_file_are_told(folder: Path) -> None:
    with pytest.raises(DataError, match="there is no encoder folder"):
        open_encoder(folder / "nowhere")
    (folder / "vocab.txt").unlink()
    with pytest.raises(DataError, match=r"vocab.txt cannot be read"):
        open_encoder(folder)


def test_another_encoder_than_the_trained_one_is_refused(folder: Path, tmp_path: Path) -> None:
    facts = {"features": "encoder", "encoder": str(folder), "encoder_sha256": open_encoder(folder).sha256}
    state = State(tmp_path, ("a", "b"), facts, {})
    assert embedder(state, "")("abc") == pytest.approx(open_encoder(folder).embed("abc"))
    other = tiny_bert(tmp_path / "other", seed=1)
    with pytest.raises(DataError, match=r"other is not the encoder .* \(encoder_sha256\)"):
        embedder(state, str(other))
