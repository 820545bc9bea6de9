"""The gateway as an aiohttp application: its endpoints, and the one door that every request comes through."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import HttpVersion11, hdrs, web

from ponder.core.errors import PonderError
from ponder.serve import pages
from ponder.serve.chat import chat, route
from ponder.serve.completions import completions
from ponder.serve.fail import ApiError
from ponder.serve.gateway import ASKED, GATEWAY, Asked, Gateway
from ponder.serve.observe import Ended, Seen
from ponder.serve.respond import request_id
from ponder.serve.schema import openapi_page
from ponder.serve.scrape import count, scrape
from ponder.serve.sse import dumps

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

OPEN = frozenset({"/health", "/health/readiness", "/health/liveliness"})
"""Endpoints that ask for no key: whoever restarts or balances the gateway has none."""

ROUTES: tuple[tuple[str, str, Handler], ...] = (
    (hdrs.METH_POST, "/chat/completions", chat),
    (hdrs.METH_POST, "/completions", completions),
    (hdrs.METH_POST, "/route", route),
    (hdrs.METH_GET, "/models", pages.models),
    (hdrs.METH_GET, "/models/{id:.+}", pages.model),
    (hdrs.METH_GET, "/health", pages.health),
    (hdrs.METH_GET, "/health/readiness", pages.readiness),
    (hdrs.METH_GET, "/health/liveliness", pages.health),
    (hdrs.METH_GET, "/metrics", scrape),
    (hdrs.METH_GET, "/openapi.json", openapi_page),
    (hdrs.METH_GET, "/version", pages.version),
)
"""Every endpoint; each answers with and without `/v1` in front."""

_LOG = logging.getLogger("ponder.serve")
_TRACED = ("traceparent", "tracestate")


def build(gateway: Gateway) -> web.Application:
    """Return the application of one gateway."""
    app = web.Application(middlewares=[door], client_max_size=gateway.settings.limits.body_bytes)
    app[GATEWAY] = gateway
    for verb, path, handler in ROUTES:
        for prefix in ("/v1", ""):
            app.router.add_route(verb, prefix + path, handler, expect_handler=_expected)
    count(app, gateway)
    app.cleanup_ctx.append(_lifetime)
    return app


async def _expected(request: web.Request) -> web.StreamResponse | None:
    """Invite the body that a client waits to send; anything else that it expects is refused in OpenAI's form."""
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        asked = Asked(_seen(request))
        return _refuse(ApiError(417, "the only expectation that is met is 100-continue"), asked)
    if request.version == HttpVersion11:
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        # The reply itself is still to come.
        request.writer.output_size = 0
    return None


async def _lifetime(app: web.Application) -> AsyncIterator[None]:
    gateway = app[GATEWAY]
    gateway.start()
    yield
    await gateway.close()


@web.middleware
async def door(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Let a request in: name it, check it, tell the observers, and answer every failure as an error object."""
    gateway = request.app[GATEWAY]
    asked = Asked(_seen(request))
    asked.headers["x-request-id"] = asked.seen.id
    request[ASKED] = asked
    gateway.observers.request_started(asked.seen)
    status, left = 499, False
    try:
        response = await _answer(gateway, asked, request, handler)
        status = response.status
        return response
    except (asyncio.CancelledError, ConnectionResetError):
        left = True
        raise
    finally:
        _ended(gateway, asked, status, left)


async def _answer(gateway: Gateway, asked: Asked, request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        _let_in(gateway, asked, request)
        if request.method == hdrs.METH_OPTIONS:
            return _preflight(request, asked)
        response = await handler(request)
    except ApiError as error:
        return _refuse(error, asked)
    except PonderError as error:
        return _refuse(ApiError.of(error), asked)
    except web.HTTPException as error:
        return _refuse(_of_http(error, request), asked, _allow(error))
    except ConnectionResetError:
        raise
    except Exception as error:  # the last boundary: logged by its kind and place, told as a 500
        _LOG.error("request %s failed: %s at %s", asked.seen.id, type(error).__name__, _place(error))
        return _refuse(ApiError(500, "the gateway failed; its log has the request id", code="internal_error"), asked)
    if not response.prepared:
        response.headers.update(asked.headers)
    return response


def _let_in(gateway: Gateway, asked: Asked, request: web.Request) -> None:
    """Check where a request comes from and who sends it. Raises `ApiError` 401 or 403."""
    origin = gateway.origins.check(request.headers.get(hdrs.ORIGIN, ""))
    if origin:
        asked.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
        asked.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = "*"
        asked.headers[hdrs.VARY] = "Origin"
    if request.method != hdrs.METH_OPTIONS and asked.seen.route not in OPEN:
        headers = request.headers
        asked.key = gateway.keys.client(headers.get(hdrs.AUTHORIZATION, ""), headers.get("x-api-key", ""))
        asked.seen.client = asked.key.name if asked.key is not None else ""


def _preflight(request: web.Request, asked: Asked) -> web.Response:
    """Tell a browser what it may send."""
    wanted = request.headers.get(hdrs.ACCESS_CONTROL_REQUEST_HEADERS, "authorization, content-type")
    allowed = {
        **asked.headers,
        hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, OPTIONS",
        hdrs.ACCESS_CONTROL_ALLOW_HEADERS: wanted,
        hdrs.ACCESS_CONTROL_MAX_AGE: "600",
    }
    return web.Response(status=204, headers=allowed)


def _seen(request: web.Request) -> Seen:
    resource = request.match_info.route.resource
    pattern = resource.canonical if resource is not None else ""
    traced = {name: request.headers[name] for name in _TRACED if name in request.headers}
    return Seen(
        request_id(request.headers.get("x-request-id")),
        pattern.removeprefix("/v1") or "unknown",
        request.method,
        peer=request.remote or "",
        headers=traced,
    )


def _ended(gateway: Gateway, asked: Asked, status: int, left: bool) -> None:
    report, seen = asked.report, asked.seen
    ended = Ended(
        status,
        time.monotonic() - seen.started,
        report.error,
        left,
        report.finish,
        report.tokens_by_role,
        report.prompt_tokens,
        report.cached_tokens,
        report.exact,
        report.evidence,
    )
    gateway.observers.request_ended(seen, ended)


def _refuse(error: ApiError, asked: Asked, more: dict[str, str] | None = None) -> web.Response:
    asked.report.error = error.code
    headers = {**asked.headers, **error.headers(), **(more or {})}
    return web.Response(status=error.status, body=dumps(error.body()), content_type="application/json", headers=headers)


def _of_http(error: web.HTTPException, request: web.Request) -> ApiError:
    """Put what aiohttp refuses into an error object."""
    if error.status == 404:
        return ApiError(404, f"there is no {request.path[:100]}; /v1/chat/completions answers chats", code="not_found")
    if error.status == 405:
        return ApiError(405, f"{request.path[:100]} does not answer {request.method}", code="method_not_allowed")
    return ApiError(error.status, f"the request was refused: {error.reason}")


def _allow(error: web.HTTPException) -> dict[str, str]:
    return {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else {}


def _place(error: BaseException) -> str:
    """Return where an error came from: a file and a line, and nothing that a client has said."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace is not None else "nowhere"
