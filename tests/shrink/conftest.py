from __future__ import annotations

from pathlib import Path

import pytest
from support.llama_folder import write_llama, write_lora


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_llama(tmp_path / "tiny-llama")


@pytest.fixture
def adapter(tmp_path: Path) -> Path:
    return write_lora(tmp_path / "adapter")
