"""Banned texts on a real model of this package: they are looked up in its own vocabulary."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from tiny_llama import ask, read, text_of

import ponder
from ponder.core.engine import Sampling

pytest.importorskip("torch")
pytestmark = [pytest.mark.torch, pytest.mark.asyncio(loop_scope="module")]

if TYPE_CHECKING:
    from ponder.engines.torch.engine import TorchEngine

REASONER = Path(ponder.__file__).parent / "models" / "tiny-reasoner"
QUESTION = ask("What is 5 × 1 × 3 + 4 - 1 modulo 7, strictly from left to right?\n\nPut the final answer in \\boxed{}.")
GREEDY = Sampling(max_tokens=200, temperature=0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def reasoner() -> AsyncIterator[TorchEngine]:
    from ponder.engines.torch.engine import TorchEngine

    async with TorchEngine(REASONER, threads=1) as engine:
        yield engine


async def test_a_banned_word_is_not_said(reasoner: TorchEngine) -> None:
    assert "\nWait" in text_of(await read(reasoner, QUESTION, GREEDY))
    hushed = Sampling(max_tokens=200, temperature=0, ban=("Wait", " Wait"))
    assert "Wait" not in text_of(await read(reasoner, QUESTION, hushed))


async def test_a_text_of_several_tokens_is_passed_over(reasoner: TorchEngine) -> None:
    """`however` is four tokens of this model: to forbid `h` would forbid other words."""
    free = text_of(await read(reasoner, QUESTION, GREEDY))
    several = Sampling(max_tokens=200, temperature=0, ban=("however", "Wait, let"))
    assert text_of(await read(reasoner, QUESTION, several)) == free
