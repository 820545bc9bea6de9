from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.tiny_gguf import write_tiny

from ponder.core.errors import DataError
from ponder.engines.catalogue import load_models
from ponder.engines.llama import LlamaEngine
from ponder.engines.model_store import ModelStore


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny(tmp_path_factory.mktemp("tiny") / "tiny.gguf")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def tiny(tiny_path: Path) -> AsyncIterator[LlamaEngine]:
    """Random weights: real llama.cpp, a hundred microseconds a token."""
    async with LlamaEngine(tiny_path, threads=1, slots=4, context=256) as engine:
        yield engine


@pytest.fixture(scope="session")
def smollm_path() -> Path:
    entry = load_models().find("smollm2-135m-instruct")
    try:
        return ModelStore().get(entry)
    except DataError as error:
        pytest.skip(f"the tests on a real model need a download: {error}")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def smollm(smollm_path: Path) -> AsyncIterator[LlamaEngine]:
    async with LlamaEngine(smollm_path, threads=1, slots=8, context=2048, check=False) as engine:
        yield engine
