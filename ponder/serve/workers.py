"""Runs the gateway: one process that listens, drains and ends, or several that share the port."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import signal
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from multiprocessing.process import BaseProcess
from pathlib import Path

from aiohttp import web

from ponder.core.errors import OptionError
from ponder.methods import catalogue
from ponder.serve.app import build
from ponder.serve.gateway import Gateway
from ponder.serve.listen import runner_of
from ponder.serve.observe import Observers
from ponder.serve.settings import Settings, embedded
from ponder.serve.watch import forget_worker, shared_counts, watched

_STOPS = (signal.SIGTERM, signal.SIGINT)
_TOO_SOON = 5.0
_AFTER_CUT = 5.0
"""Seconds that requests have to say why they were cut, once the drain is over."""


async def serve(
    settings: Settings, *, ready: Callable[[str], None], observers: Observers | None = None, shared: bool = False
) -> None:
    """Run one process until SIGTERM or SIGINT, then drain. `ready` is told the address once it listens.

    Raises `OptionError` and `DataError` for what can never work, as a model file that is not there, and for an address
    that is taken.
    """
    server = settings.server
    gateway = Gateway(settings, catalogue(tuple(map(Path, server.plugins))), observers)
    runner = runner_of(build(gateway), _AFTER_CUT)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    await runner.setup()
    try:
        site = web.TCPSite(runner, server.host, server.port, reuse_port=shared or None, backlog=1024)
        try:
            await site.start()
        except OSError as error:
            raise _taken(server.host, server.port, error) from None
        for number in _STOPS:
            loop.add_signal_handler(number, stop.set)
        # What was imported lives as long as the process: the collector need not walk over it again and again.
        gc.collect()
        gc.freeze()
        ready(address(server.host, runner.addresses[0][1]))
        await _until(stop, gateway)
        await _drain(gateway, site, server.drain_seconds)
    finally:
        await runner.cleanup()


def run_worker(settings: Settings) -> None:
    """Run one of several workers; the parent has said where they listen."""
    with watched() as observers:
        asyncio.run(serve(settings, ready=lambda _: None, observers=observers, shared=True))


async def _until(stop: asyncio.Event, gateway: Gateway) -> None:
    """Wait for the signal. Raises the error of an engine that can never open."""
    broken = gateway.upstreams.broken
    broken.add_done_callback(lambda _: stop.set())
    await stop.wait()
    if broken.done():
        broken.result()


async def _drain(gateway: Gateway, site: web.TCPSite, seconds: float) -> None:
    """Accept nothing new, let requests end within the time, then cut the rest, each with an error of its own."""
    gateway.drain()
    await site.stop()
    with suppress(TimeoutError):
        await asyncio.wait_for(gateway.idle.wait(), seconds)
    gateway.cut()
    with suppress(TimeoutError):
        await asyncio.wait_for(gateway.idle.wait(), _AFTER_CUT)


def address(host: str, port: int) -> str:
    """Return the URL of a gateway."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def check_shareable(settings: Settings) -> None:
    """Refuse several workers over models that live in one process. Raises `OptionError`."""
    own = embedded(settings)
    if settings.server.workers > 1 and own:
        raise OptionError(
            f"--workers {settings.server.workers} needs models behind servers: the engine {own[0]!r} lives in the "
            "gateway's own process, which several workers cannot share; use --workers 1, or start a model server"
        )


def supervise(settings: Settings, *, ready: Callable[[str], None], work: Callable[[Settings], None]) -> int:
    """Run `settings.server.workers` processes on one port until SIGTERM or SIGINT; return the exit code.

    Each runs `work`, a function of a module. A worker that dies is replaced; one that dies at once, three times
    running, ends all.
    """
    check_shareable(settings)
    with _reserved(settings.server.host, settings.server.port) as held, shared_counts():
        port = int(held.getsockname()[1])
        shared = replace(settings, server=replace(settings.server, port=port))
        crew = _Crew(shared, work)
        before = {number: signal.signal(number, crew.stop) for number in _STOPS}
        try:
            crew.start()
            _listening(settings.server.host, port)
            ready(address(settings.server.host, port))
            return crew.watch()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class _Crew:
    """The workers, and what becomes of them."""

    def __init__(self, settings: Settings, work: Callable[[Settings], None]) -> None:
        self._settings, self._work = settings, work
        # A fresh interpreter for each: a fork would copy an event loop, locks and open files.
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[BaseProcess, float] = {}
        self._stopping = False
        self._early = 0

    def start(self) -> None:
        """Start all."""
        for _ in range(self._settings.server.workers):
            self._begin()

    def stop(self, *_: object) -> None:
        """Ask all to drain."""
        self._stopping = True
        for worker in self._workers:
            worker.terminate()

    def watch(self) -> int:
        """Wait until all have ended; replace those that died unasked."""
        from multiprocessing.connection import wait

        code = 0
        while self._workers:
            wait([worker.sentinel for worker in self._workers], timeout=1.0)
            for worker in [worker for worker in self._workers if not worker.is_alive()]:
                began = self._workers.pop(worker)
                worker.join()
                forget_worker(worker.pid)
                code = code or (worker.exitcode or 0)
                if not self._stopping:
                    self._replace(began)
        return 0 if self._stopping and self._early < 3 else code or 1

    def _replace(self, began: float) -> None:
        self._early = self._early + 1 if time.monotonic() - began < _TOO_SOON else 0
        if self._early < 3:
            self._begin()
        else:
            self.stop()

    def _begin(self) -> None:
        worker = self._context.Process(target=self._work, args=(self._settings,))
        worker.start()
        self._workers[worker] = time.monotonic()


def _listening(host: str, port: int, seconds: float = 30.0) -> None:
    """Wait until a worker answers, so that nobody is told of an address too soon; what went wrong is theirs to say."""
    end = time.monotonic() + seconds
    reachable = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    while time.monotonic() < end:
        with suppress(OSError), socket.create_connection((reachable, port), timeout=1.0):
            return
        time.sleep(0.02)


def _reserved(host: str, port: int) -> socket.socket:
    """Return a socket that holds the address for the workers; it does not listen, so nothing reaches it."""
    if not sys.platform.startswith(("linux", "darwin", "freebsd")):
        raise OptionError("--workers needs SO_REUSEPORT, which this system lacks; use --workers 1")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        held.bind((host, port))
    except OSError as error:
        held.close()
        raise _taken(host, port, error) from None
    return held


def _taken(host: str, port: int, error: OSError) -> OptionError:
    return OptionError(
        f"{address(host, port)} cannot be used ({error.strerror or error}); give another --host or --port"
    )
