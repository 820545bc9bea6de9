"""A bare relay on the libraries of ponder's gateway: what aiohttp's server and client cost by themselves.

    python relay.py --port 8000 --upstream http://127.0.0.1:9000/v1

It parses a request's JSON, as any gateway must to know the model, and passes the reply on as it comes, piece by piece.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web

UPSTREAM: web.AppKey[str] = web.AppKey("upstream", str)
SESSION: web.AppKey[aiohttp.ClientSession] = web.AppKey("session", aiohttp.ClientSession)


async def relay(request: web.Request) -> web.StreamResponse:
    """Pass one request on."""
    data = await request.read()
    json.loads(data)
    path = request.path.removeprefix("/v1")
    headers = {"Content-Type": "application/json"}
    async with request.app[SESSION].post(request.app[UPSTREAM] + path, data=data, headers=headers) as reply:
        kind = {"Content-Type": reply.headers.get("Content-Type", "application/json")}
        if reply.content_type != "text/event-stream":
            return web.Response(status=reply.status, body=await reply.read(), headers=kind)
        response = web.StreamResponse(status=reply.status, headers=kind)
        await response.prepare(request)
        async for piece in reply.content.iter_any():
            await response.write(piece)
        await response.write_eof()
        return response


async def health(request: web.Request) -> web.Response:
    """Say that it is up."""
    return web.json_response({"status": "ok"})


async def session(app: web.Application) -> AsyncIterator[None]:
    """Hold one pool of connections."""
    connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0)
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as opened:
        app[SESSION] = opened
        yield


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--upstream", required=True)
    options = parser.parse_args()
    app = web.Application()
    app[UPSTREAM] = options.upstream
    app.cleanup_ctx.append(session)
    app.router.add_post("/v1/chat/completions", relay)
    app.router.add_get("/health", health)
    asyncio.set_event_loop(asyncio.new_event_loop())
    web.run_app(
        app, host="127.0.0.1", port=options.port, print=None, access_log=None, handler_cancellation=True, backlog=4096
    )


if __name__ == "__main__":
    main()
