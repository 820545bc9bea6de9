"""Limit, retry and cache around the scripted engine and around a server."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from support.server import FakeServer
from support.server import Fault as ServerFault

from ponder.core.engine import Chunk, Engine, Sampling
from ponder.core.errors import DataError, EngineError, OptionError
from ponder.core.problem import Message, Prompt
from ponder.core.run import Run
from ponder.engines.echo import Echo, Fault
from ponder.engines.openai import OpenAIEngine
from ponder.engines.wrap import Adapted, Cache, Limit, Retry, adapter_suffix

ASK = Prompt((Message.of("user", "2+2?"),))
GREEDY = Sampling(temperature=0)


async def read(engine: Engine, prompt: Prompt = ASK, sampling: Sampling = GREEDY) -> list[Chunk]:
    async with engine.stream(prompt, sampling) as chunks:
        return [chunk async for chunk in chunks]


@pytest.fixture
def naps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The waits between tries, which take no time here."""
    taken: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        if seconds:
            taken.append(seconds)
        await real(0)

    monkeypatch.setattr("ponder.engines.wrap.asyncio.sleep", sleep)
    return taken


def wrappers(path: Path, engine: Engine) -> list[Engine]:
    return [Limit(engine, 2), Retry(engine), Adapted(engine, ()), Cache(engine, path / "cache.sqlite")]


def test_a_wrapper_is_the_engine_inside(tmp_path: Path) -> None:
    echo = Echo()
    for wrapper in wrappers(tmp_path, echo):
        assert (wrapper.name, wrapper.caps, wrapper.think) == (echo.name, echo.caps, echo.think)
        if isinstance(wrapper, Cache):
            wrapper.close()


async def test_a_wrapper_changes_no_chunk_and_leaves_when_left(tmp_path: Path) -> None:
    plain = await read(Echo())
    for wrapper in wrappers(tmp_path, echo := Echo()):
        assert await read(wrapper) == plain
        before, seen = echo.generated, 0
        fresh = Prompt((Message.of("user", f"{wrapper!r}"),))
        async with wrapper.stream(fresh, GREEDY) as chunks:
            async for chunk in chunks:
                seen += chunk.tokens
                if seen >= 3:
                    break
        assert echo.open_streams == 0
        assert echo.generated - before - seen <= 2
        if isinstance(wrapper, Cache):
            wrapper.close()


class Gauge(Echo):
    """Notes how many streams were open at once."""

    most = 0

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        async with super().stream(prompt, sampling) as chunks:
            self.most = max(self.most, self.open_streams)
            yield chunks


async def test_a_limit_holds_and_all_come_through() -> None:
    gauge = Gauge()
    limited = Limit(gauge, 3)
    replies = await asyncio.gather(*(read(limited) for _ in range(20)))
    assert gauge.most == 3
    assert len(replies) == 20


async def test_a_cancelled_waiter_takes_no_place() -> None:
    limited = Limit(echo := Echo(delay=0.001), 1)
    async with limited.stream(ASK, GREEDY):
        waiting = asyncio.create_task(read(limited))
        await asyncio.sleep(0.01)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
    assert (await read(limited))[-1].finish == "stop"
    assert echo.open_streams == 0


async def test_a_retry_comes_through_after_three_failures(naps: list[float]) -> None:
    echo = Echo(faults={n: Fault("error", status=503) for n in range(3)})
    assert await read(Retry(echo)) == await read(Echo())
    assert echo.calls == 4
    assert [base / 2 <= nap <= base for base, nap in zip((0.5, 1.0, 2.0), naps, strict=True)] == [True] * 3


async def test_equal_runs_wait_equally_long(naps: list[float]) -> None:
    for _ in range(2):
        await read(Retry(Echo(faults={0: Fault("error"), 1: Fault("error")})))
    assert naps[:2] == naps[2:]
    await read(Retry(Echo(faults={0: Fault("error")})), sampling=Sampling(temperature=0, seed=4))
    assert naps[4] != naps[0]


async def test_the_last_error_is_raised(naps: list[float]) -> None:
    echo = Echo(faults={n: Fault("error", status=500 + n) for n in range(9)})
    with pytest.raises(EngineError) as caught:
        await read(Retry(echo, attempts=3))
    assert (caught.value.status, echo.calls, len(naps)) == (502, 3, 2)


async def test_what_cannot_get_better_is_not_tried_again(naps: list[float]) -> None:
    echo = Echo(faults={0: Fault("error", status=400)})
    with pytest.raises(EngineError):
        await read(Retry(echo))
    assert (echo.calls, naps) == (1, [])


async def test_retry_after_is_kept_and_a_long_one_ends_the_tries(naps: list[float]) -> None:
    await read(Retry(Echo(faults={0: Fault("error", status=429, retry_after=7)})))
    assert naps == [7]
    echo = Echo(faults={0: Fault("error", status=429, retry_after=3600)})
    with pytest.raises(EngineError) as caught:
        await read(Retry(echo))
    assert (caught.value.retry_after, echo.calls) == (3600, 1)


async def test_a_reply_that_breaks_off_later_is_not_repeated(naps: list[float]) -> None:
    echo = Echo(faults={0: Fault("cut", at=2)})
    run = Run(Retry(echo), sampling=GREEDY)
    with pytest.raises(EngineError):
        await run.generate(ASK)
    assert (echo.calls, naps, run.trace.tokens) == (1, [], 2)


async def test_a_cancelled_wait_ends(naps: list[float]) -> None:
    async with asyncio.timeout(5):
        task = asyncio.create_task(read(Retry(Echo(faults={0: Fault("stall")}))))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert naps == []


async def test_retry_against_a_server(naps: list[float]) -> None:
    faults = {
        0: ServerFault("status", status=429, headers={"Retry-After": "2"}),
        1: ServerFault("error"),
        2: ServerFault("cut"),
    }
    async with FakeServer("vllm", faults=faults) as server, OpenAIEngine(server.url) as engine:
        run = Run(Retry(engine))
        call = await run.generate(ASK)
    assert call.text == "The answer is four."
    assert run.trace.tokens == call.tokens == 4
    assert naps[0] == 2.0
    assert server.generations == 4


@pytest.mark.parametrize("bad", [lambda e: Limit(e, 0), lambda e: Retry(e, 0), lambda e: Retry(e, base=9, cap=1)])
def test_options_out_of_range(bad: type) -> None:
    with pytest.raises(OptionError, match="out of range"):
        bad(Echo())


async def test_a_hit_is_the_recorded_reply_and_bills_the_same(tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    cache = Cache(echo := Echo(), path)
    first = Run(cache, sampling=GREEDY, seed=1)
    second = Run(cache, sampling=GREEDY, seed=2)
    one, two = await first.generate(ASK), await second.generate(ASK)
    assert (one.text, one.tokens, one.token_ids) == (two.text, two.tokens, two.token_ids)
    assert first.trace.tokens_by_role == second.trace.tokens_by_role
    assert (echo.calls, cache.hits, cache.misses) == (1, 1, 1)
    cache.close()
    again = Cache(other := Echo(), path)
    assert await read(again) == await read(Echo())
    assert other.calls == 0
    again.close()


async def test_what_is_asked_otherwise_is_another_call(tmp_path: Path) -> None:
    cache = Cache(echo := Echo(), tmp_path / "c")
    await read(cache)
    await read(cache, ASK + "<think>")
    await read(cache, sampling=Sampling(temperature=0, max_tokens=3))
    assert (echo.calls, cache.hits) == (3, 0)
    cache.close()
    elsewhere = Cache(other := Echo(name="other"), tmp_path / "c")
    await read(elsewhere)
    assert other.calls == 1
    elsewhere.close()


async def test_sampled_calls_are_kept_only_on_request_and_by_seed(tmp_path: Path) -> None:
    cache = Cache(echo := Echo(), tmp_path / "a")
    for _ in range(2):
        await read(cache, sampling=Sampling(seed=1))
    assert echo.calls == 2
    cache.close()
    cache = Cache(echo := Echo(), tmp_path / "b", sampled=True)
    for seed in (1, 1, 2, None, None):
        await read(cache, sampling=Sampling(seed=seed))
    assert (echo.calls, cache.hits) == (4, 1)
    cache.close()


async def test_half_a_reply_is_not_kept(tmp_path: Path) -> None:
    cache = Cache(echo := Echo(faults={1: Fault("cut", at=2)}), tmp_path / "c")
    async with cache.stream(ASK, GREEDY) as chunks:
        await anext(chunks)
    with pytest.raises(EngineError):
        await read(cache)
    await read(cache)
    assert (echo.calls, cache.hits) == (3, 0)
    await read(cache)
    assert (echo.calls, cache.hits) == (3, 1)
    cache.close()


async def test_two_processes_may_share_a_cache(tmp_path: Path) -> None:
    one, two = Cache(Echo(), tmp_path / "c"), Cache(echo := Echo(), tmp_path / "c")
    await read(one)
    await read(two)
    assert echo.calls == 0
    one.close()
    two.close()


def test_a_file_that_is_no_cache(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("hello " * 500)
    with pytest.raises(DataError, match="cannot be used"):
        Cache(Echo(), tmp_path / "text")
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(DataError, match="not a cache"):
        Cache(Echo(), tmp_path / "other")
    with pytest.raises(DataError, match="cannot be used"):
        Cache(Echo(), tmp_path / "missing" / "c")


async def test_they_nest(tmp_path: Path, naps: list[float]) -> None:
    echo = Echo(faults={0: Fault("error", status=500)})
    engine = Cache(Retry(Limit(echo, 1)), tmp_path / "c")
    replies = await asyncio.gather(*(read(engine) for _ in range(3)))
    assert replies[0] == replies[1] == replies[2]
    assert len(naps) == 1
    assert (await read(engine)) == replies[0]
    assert engine.hits == 1
    engine.close()


# Adapters.


class Heard(Echo):
    """Notes how calls ask, and answers as ever."""

    def __init__(self) -> None:
        super().__init__()
        self.adapters: list[tuple[tuple[str, float], ...]] = []

    @asynccontextmanager
    async def stream(self, prompt: Prompt, sampling: Sampling) -> AsyncIterator[AsyncIterator[Chunk]]:
        self.adapters.append(sampling.adapters)
        async with super().stream(prompt, replace(sampling, adapters=())) as chunks:
            yield chunks


async def test_adapters_are_put_into_calls_that_name_none() -> None:
    heard = Heard()
    engine = Adapted(heard, [("valve", 0.5), ("style", 1.0)])
    for own in ((), (("valve", 0.0),), (("other", 1.0),)):
        await read(engine, sampling=replace(GREEDY, adapters=own))
    assert heard.adapters == [(("valve", 0.5), ("style", 1.0)), (("valve", 0.0),), (("other", 1.0),)]


def test_the_name_tells_the_adapters_and_their_scales() -> None:
    assert Adapted(Echo(), [("valve", 0.5), ("style", 1.0)]).name == "echo+valve@0.5+style"
    assert Adapted(Echo(), [("valve", 0.5)], name="thinker").name == "thinker"
    assert adapter_suffix([("a", -1.25), ("b", 0)]) == "+a@-1.25+b@0"
    assert adapter_suffix([]) == ""


async def test_a_cache_keeps_replies_under_other_adapters_apart(tmp_path: Path) -> None:
    heard, path = Heard(), tmp_path / "cache.sqlite"
    for scale in (1.0, 0.5, 1.0):
        cache = Cache(Adapted(heard, [("valve", scale)]), path)
        await read(cache)
        cache.close()
    assert heard.adapters == [(("valve", 1.0),), (("valve", 0.5),)]
