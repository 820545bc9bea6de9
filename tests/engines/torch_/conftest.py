"""The tiny model on disk, and an engine on it.

The folder is not called `torch`: pytest puts its parent on the path, where it would pass for the package.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ponder.engines.torch.engine import TorchEngine


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Tiny models gain nothing from threads, and those of torch spin where others work too."""
    torch = pytest.importorskip("torch")
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
async def engine(folder: Path) -> AsyncIterator[TorchEngine]:
    """An engine on the tiny model, in float32 on one thread."""
    from ponder.engines.torch.engine import TorchEngine

    async with TorchEngine(folder, dtype="float32", threads=1) as opened:
        yield opened
