"""`/metrics`: what was counted, as Prometheus text."""

from __future__ import annotations

from aiohttp import web

from ponder.serve.gateway import Gateway
from ponder.serve.metrics import CONTENT_TYPE, Metrics
from ponder.serve.observe import Observers

METRICS = web.AppKey("metrics", Metrics)


def count(app: web.Application, gateway: Gateway) -> None:
    """Count the requests of an application beside what its observers do. Call it once its endpoints are known."""
    routes = {resource.canonical.removeprefix("/v1") for resource in app.router.resources()}
    metrics = Metrics(gateway.policies.names(), routes, lambda: gateway.gate.waiting)
    gateway.observers = Observers([gateway.observers, metrics])
    app[METRICS] = metrics


async def scrape(request: web.Request) -> web.Response:
    """Return the counts."""
    return web.Response(body=request.app[METRICS].render(), headers={"Content-Type": CONTENT_TYPE})
