"""The HTTP server below the application: what is no HTTP is answered and logged as everything else is."""

from __future__ import annotations

import asyncio
import logging

from aiohttp import web

from ponder.serve.fail import ApiError
from ponder.serve.sse import dumps

_LOG = logging.getLogger("ponder.serve")


def runner_of(app: web.Application, patience: float) -> web.AppRunner:
    """Return the runner of an application: a client that leaves cancels its handler, and with it every call."""
    return _Runner(
        app,
        handler_cancellation=True,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=patience,
        keepalive_timeout=75.0,
    )


class _Connection(web.RequestHandler):
    """One connection. Bytes that cannot be parsed never reach the application, so they are refused here."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return an error object. Neither reply nor log repeats what came: it may be half of a header with a key."""
        if request.writer.output_size > 0:
            raise ConnectionError("part of a reply was sent already")
        _LOG.warning("a connection was refused with %d: %s", status, type(exc).__name__)
        wrong = "this is no HTTP request that can be read: check its first line, its headers and its chunks"
        error = ApiError(status, wrong if status < 500 else "the gateway failed")
        reply = web.Response(
            status=status, body=dumps(error.body()), headers=error.headers(), content_type="application/json"
        )
        reply.force_close()
        return reply

    def log_exception(self, *args: object, exc_info: object = None) -> None:
        """Say what kind of error ended a connection, without the trace: its text quotes what came."""
        _LOG.warning("a connection ended with %s", type(exc_info).__name__)


class _Server(web.Server):
    """Makes the connections; aiohttp has no public place for their class."""

    def __call__(self) -> web.RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Runner(web.AppRunner):
    __slots__ = ()

    async def _make_server(self) -> web.Server:
        made = await super()._make_server()
        return _Server(
            made.request_handler,
            request_factory=made.request_factory,
            handler_cancellation=made.handler_cancellation,
            loop=asyncio.get_running_loop(),
            **made._kwargs,
        )
