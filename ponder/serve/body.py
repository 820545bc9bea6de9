"""The body of a request: read within its limit, and parsed where parsing does not hold up others."""

from __future__ import annotations

import asyncio

from aiohttp import web

from ponder.serve.fail import ApiError
from ponder.serve.fields import read_json

_LARGE = 256 << 10
"""Bytes from which on a body is parsed in a thread: on the event loop it would take milliseconds from everyone."""


async def read_body(request: web.Request, most: int) -> object:
    """Return the JSON value of a body. Raises `ApiError` 413 for one that is too large, 400 for one that is none."""
    try:
        raw = await request.read()
    except web.HTTPRequestEntityTooLarge:
        message = f"the request is larger than {most:,} bytes; shorten it, or raise body_bytes under [limits]"
        raise ApiError(413, message, code="request_too_large") from None
    except web.RequestPayloadError:
        message = "the body does not decode as its headers say: check Content-Encoding and Transfer-Encoding"
        raise ApiError.bad(None, message, "invalid_body") from None
    if not raw:
        raise ApiError.bad(None, "the request has no body; send JSON", "invalid_json")
    if len(raw) > _LARGE:
        return await asyncio.to_thread(read_json, raw)
    return read_json(raw)
