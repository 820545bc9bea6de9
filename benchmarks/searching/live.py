"""Searches as ponder runs them, and the same ones naively: one request after the other, and no prefix is shared."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial

import aiohttp
from serving.counters import Counters
from voting.live import Row, in_turns, timed

from ponder.core.engine import Cap, Chunk, Engine, Sampling, Think
from ponder.core.judge import Item, Task
from ponder.core.method import Method
from ponder.core.problem import Prompt
from ponder.engines.torch.engine import TorchEngine
from ponder.methods.search.beam_search import BeamSearch
from ponder.methods.search.dpts import Dpts
from ponder.methods.search.mcts import Mcts
from ponder.methods.search.rsd import Rsd
from ponder.methods.search.speculative_rejection import SpeculativeRejection


def searches(delimiter: str) -> Mapping[str, Method]:
    """Return what is measured, by its name on the page; all choose by the mean log-probability, which costs nothing."""
    return {
        "beam_search, 8 x 2": BeamSearch(n=8, width=2, delimiter=delimiter),
        "dpts": Dpts(delimiter=delimiter, most=6),
        "mcts, 8 simulations, 4 at once": Mcts(simulations=8, parallel=4, delimiter=delimiter),
        "speculative_rejection, 8": SpeculativeRejection(n=8, first=32),
        "rsd, drafted by the model itself": Rsd(delimiter=delimiter),
    }


@dataclass(frozen=True)
class OneByOne:
    """An engine that answers one request at a time; with `salts`, a server shares what it read with no other one."""

    inner: Engine
    gate: asyncio.Semaphore
    salts: itertools.count[int] | None = None

    @property
    def name(self) -> str:
        """That of the engine."""
        return self.inner.name

    @property
    def caps(self) -> frozenset[Cap]:
        """Those of the engine."""
        return self.inner.caps

    @property
    def think(self) -> Think:
        """The marks of the engine's model."""
        return self.inner.think

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        """Wait for the turn, and hold it until the request has ended."""
        if self.salts is not None:
            prompt = replace(prompt, extra=json.dumps({"cache_salt": f"{time.time_ns()}-{next(self.salts)}"}))
        async with self.gate, self.inner.stream(prompt, sampling) as chunks:
            yield chunks


@dataclass(frozen=True)
class Arms:
    """The engine as it is and its naive form, each with what counts the positions that its model computed."""

    engine: Engine
    naive: Engine
    counts: Callable[[], Awaitable[int]]
    naive_counts: Callable[[], Awaitable[int]]


@asynccontextmanager
async def in_process(spec: str, options: argparse.Namespace) -> AsyncIterator[Arms]:
    """Open a folder twice: the naive one has a single slot, and forgets what it read."""

    async def counted(engine: TorchEngine) -> int:
        return engine.positions

    async with AsyncExitStack() as stack:
        shape = {"dtype": options.dtype, "threads": options.threads}
        engine = await stack.enter_async_context(TorchEngine(spec, **shape))
        alone = await stack.enter_async_context(TorchEngine(spec, **shape, slots=1, kept=0))
        naive = OneByOne(alone, asyncio.Semaphore(1))
        yield Arms(engine, naive, partial(counted, engine), partial(counted, alone))


@asynccontextmanager
async def on_server(engine: Engine, spec: str) -> AsyncIterator[Arms]:
    """Ask one vLLM server in both ways; its own counters say what it computed."""
    async with aiohttp.ClientSession() as client:
        counters = Counters(spec.partition("#")[0], client)
        await counters.read()
        naive = OneByOne(engine, asyncio.Semaphore(1), itertools.count())
        yield Arms(engine, naive, counters.positions, counters.positions)


async def compare(arms: Arms, options: argparse.Namespace, task: Task, item: Item, name: str, turn: int) -> Row:
    """Run one search on one question in both ways, with the same seeds."""
    method = searches(options.delimiter)[name]
    sampling = Sampling(max_tokens=options.most, temperature=options.temperature)

    async def once(engine: Engine, counts: Callable[[], Awaitable[int]]) -> Row:
        before = await counts()
        taken = await timed(method, item.problem, engine, sampling, turn, task, draft=engine)
        calls = [call for call in taken.trace.calls if call.prompt_tokens or call.tokens]
        return {**taken.row, "positions": await counts() - before, "calls": len(calls)}

    return await in_turns(
        {
            "ponder": partial(once, arms.engine, arms.counts),
            "naive": partial(once, arms.naive, arms.naive_counts),
        },
        turn,
    )
