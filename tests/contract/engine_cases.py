"""The engines that the contract tests run over, each on a model of its own, with that model's own token counter."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from support.server import FakeServer

from ponder.core.engine import Cap, Engine
from ponder.core.errors import DataError
from ponder.engines.anthropic import AnthropicEngine
from ponder.engines.echo import CAPS, Echo
from ponder.engines.openai import OpenAIEngine
from ponder.engines.tape import Recorder
from ponder.engines.wrap import Cache, Limit, Retry

REPLY = "<think>" + "so we check it again then " * 30 + "</think>" + "The answer is 42 and nothing else at all. " * 20
TICK = 0.002
"""Seconds that a scripted engine takes for a token, so that generating and reading are two things."""


@dataclass(frozen=True)
class Opened:
    """An engine, how many tokens its model has generated so far, and what it says, where that is known."""

    engine: Engine
    generated: Callable[[], Awaitable[int]]
    reply: str | None = REPLY


Opener = Callable[[Path], AbstractAsyncContextManager[Opened]]


def counted(echo: Echo) -> Callable[[], Awaitable[int]]:
    async def generated() -> int:
        return echo.generated

    return generated


@asynccontextmanager
async def echo(folder: Path) -> AsyncIterator[Opened]:
    engine = Echo(says, delay=TICK)
    yield Opened(engine, counted(engine))


@asynccontextmanager
async def able(folder: Path) -> AsyncIterator[Opened]:
    """The scripted engine with certainties and hidden states, which it makes up."""
    engine = Echo(says, delay=TICK, caps=CAPS | {Cap.FULL_LOGPROBS, Cap.HIDDEN})
    yield Opened(engine, counted(engine))


def says(prompt: object, seed: int) -> str:
    """Go on with `REPLY` after whatever beginning of it stands in the prompt."""
    prefill: str = prompt.prefill  # type: ignore[attr-defined]
    return REPLY.removeprefix(prefill)


@asynccontextmanager
async def limit(folder: Path) -> AsyncIterator[Opened]:
    inner = Echo(says, delay=TICK)
    yield Opened(Limit(inner, 16), counted(inner))


@asynccontextmanager
async def retry(folder: Path) -> AsyncIterator[Opened]:
    inner = Echo(says, delay=TICK)
    yield Opened(Retry(inner), counted(inner))


@asynccontextmanager
async def cache(folder: Path) -> AsyncIterator[Opened]:
    inner = Echo(says, delay=TICK)
    engine = Cache(inner, folder / "cache.sqlite")
    try:
        yield Opened(engine, counted(inner))
    finally:
        engine.close()


@asynccontextmanager
async def recorder(folder: Path) -> AsyncIterator[Opened]:
    inner = Echo(says, delay=TICK)
    engine = Recorder(inner, folder / "tape.sqlite")
    try:
        yield Opened(engine, counted(inner))
    finally:
        engine.close()


def openai(dialect: str) -> Opener:
    @asynccontextmanager
    async def opened(folder: Path) -> AsyncIterator[Opened]:
        server = FakeServer(dialect, REPLY, tick=TICK)  # type: ignore[arg-type]
        async with server, OpenAIEngine(server.url) as engine:

            async def generated() -> int:
                return server.generated

            yield Opened(engine, generated)

    return opened


@asynccontextmanager
async def anthropic(folder: Path) -> AsyncIterator[Opened]:
    reply = (
        "<think>" + "fox and bear ran far away too " * 30 + "</think>" + "The end was good for all who saw it. " * 20
    )
    server = FakeServer("plain", reply, tick=TICK)
    async with server, AnthropicEngine(server.url, "toy") as engine:

        async def generated() -> int:
            return server.generated

        yield Opened(engine, generated, reply)


@asynccontextmanager
async def llama_child(path: Path) -> AsyncIterator[Opened]:
    from ponder.engines.llama import LlamaEngine

    async with LlamaEngine(path, threads=1, slots=8, context=1024) as engine:

        async def generated() -> int:
            # The server adds a stream to its counter when the stream is over.
            counters = await engine.server.metrics()
            while counters["requests_processing"]:
                await asyncio.sleep(0.02)
                counters = await engine.server.metrics()
            return int(counters["tokens_predicted_total"])

        yield Opened(engine, generated, None)


@asynccontextmanager
async def llama(folder: Path) -> AsyncIterator[Opened]:
    pytest.importorskip("xllamacpp")
    from support.tiny_gguf import write_tiny

    async with llama_child(write_tiny(folder / "tiny.gguf")) as opened:
        yield opened


@asynccontextmanager
async def smollm2(folder: Path) -> AsyncIterator[Opened]:
    from ponder.engines.catalogue import load_models
    from ponder.engines.model_store import ModelStore

    try:
        path = ModelStore().get(load_models().find("smollm2-135m-instruct"))
    except DataError as error:
        pytest.skip(f"the tests on a real model need a download: {error}")
    async with llama_child(path) as opened:
        yield opened


@asynccontextmanager
async def torch(folder: Path) -> AsyncIterator[Opened]:
    pytest.importorskip("torch")
    sys.path.append(str(Path(__file__).parent.parent / "engines" / "torch_"))
    from tiny_llama import save_model, save_tokenizer

    from ponder.engines.torch.engine import TorchEngine

    save_model(folder / "tiny")
    save_tokenizer(folder / "tiny")
    async with TorchEngine(folder / "tiny", dtype="float32", threads=1) as engine:

        async def generated() -> int:
            return engine.generated

        yield Opened(engine, generated, None)


ENGINES: Mapping[str, Opener] = {
    "echo": echo,
    "echo with everything": able,
    "limit": limit,
    "retry": retry,
    "cache": cache,
    "recorder": recorder,
    "plain": openai("plain"),
    "vllm": openai("vllm"),
    "llama.cpp server": openai("llama.cpp"),
    "anthropic": anthropic,
    "llama": llama,
    "smollm2": smollm2,
    "torch": torch,
}
MARKS = {"smollm2": pytest.mark.model, "torch": pytest.mark.torch}
TOY, SLOW = "llama", "smollm2"
"""Two models of one engine: the toy is done before anybody can leave it; the slow one is asked only about that."""


def params(paced: bool) -> list[object]:
    """Return the engines as parameters of a fixture, with their marks."""
    names = [name for name in ENGINES if name != (TOY if paced else SLOW)]
    return [pytest.param(name, marks=MARKS.get(name, ())) for name in names]
