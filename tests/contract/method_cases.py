"""What the contract tests run over: every method of the table, as it comes and with no field as it comes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from ponder.core.engine import Chunk, Sampling
from ponder.core.method import Method
from ponder.core.problem import Prompt
from ponder.engines.echo import Echo
from ponder.methods import METHODS, catalogue
from ponder.methods.prompt.chain_of_draft import ChainOfDraft
from ponder.methods.prompt.concise_cot import ConciseCoT
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency

VARIANTS: dict[str, Method] = {
    "sample": Sample(cot=True),
    "no_thinking": NoThinking(),
    "concise_cot": ConciseCoT(words=45, cot=False, inner=SelfConsistency(n=2)),
    "chain_of_draft": ChainOfDraft(words=3, shots=2, separator=True, inner=NoThinking()),
    "self_consistency": SelfConsistency(n=3, temperature=0.9, inner=ChainOfDraft(words=7)),
}
"""For each method of the table one value in which no field has its default. A new method adds one line."""


def cases() -> Iterator[tuple[str, Method]]:
    """Yield (label, method) for every method of the table, as it comes and as its variant."""
    table = catalogue()
    for name in METHODS:
        yield name, table.build(name)
        if name in VARIANTS and VARIANTS[name] != table.build(name):
            yield f"{name}-variant", VARIANTS[name]


CASES = dict(cases())


@dataclass
class Jittery:
    """An engine whose tokens take their time, decided by `seed`: before each token is made, and before it is handed on.

    What is lost when a stream is left while a token waits to be handed on is what a real server loses, too.
    """

    inner: Echo
    seed: int
    most: int = 3
    _streams: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        self.name, self.caps, self.think = self.inner.name, self.inner.caps, self.inner.think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        self._streams += 1
        dice = random.Random(self.seed * 1000 + self._streams)
        async with self.inner.stream(prompt, sampling) as chunks:
            yield self._late(chunks, dice)

    async def _late(self, chunks: AsyncIterator[Chunk], dice: random.Random) -> AsyncIterator[Chunk]:
        async for chunk in chunks:
            for _ in range(dice.randint(0, self.most)):
                await asyncio.sleep(0)
            yield chunk
