"""The engines behind the gateway: opened in the background, opened again when they were down, closed together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

from ponder.core.engine import Cap, Chunk, Engine, Sampling, Think
from ponder.core.errors import EngineError, PonderError
from ponder.core.problem import Prompt
from ponder.engines.open import EngineOptions, Loaded, open_engine
from ponder.serve.settings import Upstream


def options_of(upstream: Upstream) -> EngineOptions:
    """Return how an engine of the file is opened."""
    return EngineOptions(
        threads=upstream.threads,
        slots=upstream.slots,
        context=upstream.context,
        key_env=upstream.key_env,
        dialect=upstream.dialect,
        concurrency=upstream.concurrency,
        retries=upstream.retries,
        chat_template=Path(upstream.chat_template) if upstream.chat_template else None,
        think_open=upstream.think_open,
        think_close=upstream.think_close,
        timeout=upstream.timeout,
    )


@dataclass(slots=True)
class _Keeper:
    """One engine: the task that holds it open, and what opening it came to."""

    task: asyncio.Task[None]
    loaded: asyncio.Future[Loaded]


class _Down:
    """Stands in for an engine that is down: whoever asks it is told so. What it can do nobody knows, so all is said."""

    def __init__(self, name: str, error: EngineError) -> None:
        self.name, self.caps, self.think = name, frozenset(Cap), Think()
        self._error = error

    def stream(self, prompt: Prompt, sampling: Sampling) -> AbstractAsyncContextManager[AsyncIterator[Chunk]]:
        """Raise why it is down."""
        raise self._error


class Upstreams:
    """The engines by name. `given` are open already and stay so; `on_open` is told of each other one once it is open.

    `broken` becomes the error of one that can never open, as a file that is not there.
    """

    def __init__(
        self,
        engines: Mapping[str, Upstream],
        given: Mapping[str, Loaded] | None = None,
        on_open: Callable[[str, Loaded], None] = lambda name, loaded: None,
    ) -> None:
        self._upstreams = dict(engines)
        self._on_open = on_open
        self._given = dict(given or {})
        self._keepers: dict[str, _Keeper] = {}
        self._stop = asyncio.Event()
        self.broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def start(self) -> None:
        """Begin to open all of them; nobody waits."""
        for name in self._upstreams:
            if name not in self._given:
                self._open(name)

    async def close(self) -> None:
        """Close all of them, and what is still opening."""
        self._stop.set()
        for keeper in self._keepers.values():
            if not keeper.loaded.done():
                keeper.task.cancel()
        await asyncio.gather(*(keeper.task for keeper in self._keepers.values()), return_exceptions=True)
        self._keepers.clear()
        self.broken.cancel()

    async def get(self, name: str) -> Loaded:
        """Return an engine; wait for one that is opening, try one that was down again. Raises `EngineError`."""
        if name in self._given:
            return self._given[name]
        keeper = self._keepers.get(name)
        if keeper is None or keeper.task.done():
            keeper = self._open(name)
        try:
            return await asyncio.shield(keeper.loaded)
        except EngineError:
            raise
        except PonderError as error:
            raise EngineError(f"the model is not available: {error}", status=503) from None

    async def engines(self, main: str, roles: Mapping[str, str]) -> dict[str, Engine]:
        """Return the engines of one run: `main`, and those of further roles. Raises `EngineError` where `main` is down.

        One of a further role that is down fails once it is asked, and no sooner: a router's has a fallback, and that of
        a choice is not asked for every question.
        """
        return {"main": (await self.get(main)).engine} | {
            role: await self._further(name) for role, name in roles.items()
        }

    async def _further(self, name: str) -> Engine:
        try:
            return (await self.get(name)).engine
        except EngineError as error:
            return _Down(name, error)

    def opened(self, name: str) -> Loaded | None:
        """Return an engine that is open now, or None."""
        if name in self._given:
            return self._given[name]
        keeper = self._keepers.get(name)
        if keeper is None or not keeper.loaded.done() or keeper.loaded.cancelled() or keeper.loaded.exception():
            return None
        return keeper.loaded.result()

    def states(self) -> dict[str, str]:
        """Return `ready`, `opening` or what went wrong, by engine; for the readiness endpoint."""
        return {name: self._state(name) for name in self._upstreams}

    def _state(self, name: str) -> str:
        if name in self._given:
            return "ready"
        keeper = self._keepers.get(name)
        if keeper is None or not keeper.loaded.done():
            return "opening"
        error = None if keeper.loaded.cancelled() else keeper.loaded.exception()
        return str(error) if error is not None else "ready"

    def _open(self, name: str) -> _Keeper:
        loaded: asyncio.Future[Loaded] = asyncio.get_running_loop().create_future()
        keeper = _Keeper(asyncio.create_task(self._keep(name, loaded), name=f"engine {name}"), loaded)
        self._keepers[name] = keeper
        return keeper

    async def _keep(self, name: str, loaded: asyncio.Future[Loaded]) -> None:
        """Hold one engine open: it is entered and left in one task, as its own tasks may need."""
        upstream = self._upstreams[name]
        try:
            async with open_engine(upstream.spec, options_of(upstream)) as opened:
                loaded.set_result(opened)
                self._on_open(name, opened)
                await self._stop.wait()
        except PonderError as error:
            if not loaded.done():
                loaded.set_exception(error)
                loaded.exception()  # asked for here, so that nobody has to: it may be that no request ever comes
            if not isinstance(error, EngineError) and not self.broken.done():
                self.broken.set_exception(error)
                self.broken.exception()
        except asyncio.CancelledError:
            loaded.cancel()
            raise
