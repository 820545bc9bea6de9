"""A tiny random Llama in a folder, ways to open it, and a few sums to train it on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest
from support.sums import sums

from ponder.train.loops.messages import Stage

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase


class Tiny(NamedTuple):
    """A model of 322 words and its tokenizer."""

    model: LlamaForCausalLM
    tokenizer: PreTrainedTokenizerBase


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("trl")
    pytest.importorskip("peft")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the tiny model."""
    from tiny_llama import save_model, save_tokenizer

    path = tmp_path_factory.mktemp("tiny") / "tiny-llama"
    save_model(path)
    save_tokenizer(path)
    return path


@pytest.fixture
def fresh(folder: Path) -> Callable[[], Tiny]:
    """Opens the tiny model anew, as every run does."""
    from ponder.train.loops.load import open_model
    from ponder.train.loops.settings import SFT

    return lambda: Tiny(*open_model(folder, "tiny-llama", SFT(dtype="float32")))


@pytest.fixture
def data() -> Stage:
    """24 conversations."""
    return Stage("sums", sums(24))
