"""What the tests of the base trainer share: one thread, a recipe that is done in seconds, and its tokenizer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ponder.train.base.recipe import Recipe

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

MINI = Recipe(
    hidden=32,
    layers=1,
    heads=2,
    kv_heads=1,
    inner=48,
    vocabulary=400,
    context=256,
    families=("modular:links=1-2", "algebra:variables=4,steps=1-2", "directional:actions=2-3"),
    passes=2,
    echoes=16,
    drills=16,
    chains=96,
    thoughts=48,
    batch=8,
    seed=3,
)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def mini() -> Recipe:
    """A recipe of 4 steps for the basics, 15 for chains, and 6 for thoughts."""
    return MINI


@pytest.fixture(scope="session")
def tokenizer(mini: Recipe) -> PreTrainedTokenizerFast:
    """The tokenizer of the mini recipe."""
    from ponder.train.base.data import make_stages, tokenizer_texts
    from ponder.train.base.tokenizer import learn_tokenizer

    return learn_tokenizer(tokenizer_texts(make_stages(mini)), mini.vocabulary, mini.context)
