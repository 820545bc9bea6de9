"""The endpoints that only tell: models with their facts, health, version."""

from __future__ import annotations

import time

from aiohttp import web

from ponder import __version__
from ponder.core.engine import Cap, Engine
from ponder.serve.fields import Json
from ponder.serve.gateway import ASKED, GATEWAY, Gateway
from ponder.serve.settings import Model
from ponder.serve.sse import dumps

_STARTED = int(time.time())


def _json(value: Json, status: int = 200) -> web.Response:
    return web.Response(body=dumps(value), status=status, content_type="application/json")


async def health(_: web.Request) -> web.Response:
    """Say that the process answers; asks nobody."""
    return _json({"status": "ok", "version": __version__})


async def readiness(request: web.Request) -> web.Response:
    """Say whether requests can be answered: 200 once every engine is open, 503 before, and while draining."""
    gateway = request.app[GATEWAY]
    states = gateway.upstreams.states()
    ready = not gateway.draining and all(state == "ready" for state in states.values())
    shown = {name: state if state in ("ready", "opening") else "failed" for name, state in states.items()}
    status = "draining" if gateway.draining else "ready" if ready else "not ready"
    return _json({"status": status, "engines": shown, "working": gateway.working}, 200 if ready else 503)


async def version(_: web.Request) -> web.Response:
    """Say which version this is."""
    return _json({"version": __version__})


async def models(request: web.Request) -> web.Response:
    """List every public name, those with a method behind the colon too."""
    gateway, asked = request.app[GATEWAY], request[ASKED]
    names = gateway.policies.names(asked.key)
    return _json({"object": "list", "data": [_entry(name) for name in names]})


async def model(request: web.Request) -> web.Response:
    """Describe one public name: its method, and what is known of the engine behind it. Raises `ApiError` 404."""
    gateway, asked = request.app[GATEWAY], request[ASKED]
    name = request.match_info["id"]
    found, table = gateway.policies.find(name, asked.key)
    facts: Json = {
        "model": found.name,
        "method": dict(table if table is not None else found.method),
        "description": found.description,
        "engine": _engine(gateway, found),
    }
    return _json({**_entry(name), "ponder": facts})


def _entry(name: str) -> Json:
    return {"id": name, "object": "model", "created": _STARTED, "owned_by": "ponder"}


def _engine(gateway: Gateway, model: Model) -> Json:
    """Return what is known of an engine that is open."""
    loaded = gateway.upstreams.opened(model.engine)
    if loaded is None:
        return {"state": "opening" if gateway.upstreams.states().get(model.engine) == "opening" else "failed"}
    report = gateway.facts.of(model.engine)
    return {"state": "ready", "weak": loaded.weak, **_facts(loaded.engine), "report": report}


def _facts(engine: Engine) -> Json:
    think = {"open": engine.think.open, "close": engine.think.close} if engine.think else None
    caps = {cap.name.lower(): cap in engine.caps for cap in Cap}
    return {"name": engine.name, "think": think, "caps": caps}
