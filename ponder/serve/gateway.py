"""What all endpoints share: the settings, the engines, the limits, and who is told of every request."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from ponder.engines.open import Loaded
from ponder.methods import Catalogue
from ponder.serve.access import Gate, Keys, Origins
from ponder.serve.facts import Facts
from ponder.serve.fail import ApiError
from ponder.serve.observe import Observers, Seen
from ponder.serve.policies import Policies
from ponder.serve.request import Limits as RequestLimits
from ponder.serve.settings import Key, Settings
from ponder.serve.upstreams import Upstreams


@dataclass(slots=True)
class Asked:
    """One HTTP request: what observers see, the key it came with, and the headers that every reply to it bears."""

    seen: Seen
    key: Key | None = None
    headers: dict[str, str] = field(default_factory=dict)
    report: Report = field(default_factory=lambda: Report())


@dataclass(slots=True)
class Report:
    """What the end of a request is told with; handlers fill it in as they know more."""

    error: str = ""
    finish: tuple[str, ...] = ()
    tokens_by_role: dict[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    exact: bool = True
    evidence: tuple[dict[str, float | str], ...] = ()


class Gateway:
    """One process of the gateway. `engines` are open already, and are used instead of those that the settings name."""

    def __init__(
        self,
        settings: Settings,
        catalogue: Catalogue,
        observers: Observers | None = None,
        engines: Mapping[str, Loaded] | None = None,
    ) -> None:
        self.settings = settings
        self._given = engines
        self.policies = Policies(settings, catalogue)
        self.keys = Keys(settings.keys)
        self.origins = Origins(settings.server.origins)
        self.gate = Gate(settings.limits)
        self.observers = observers or Observers()
        self.request_limits = RequestLimits(n=settings.limits.choices)
        self.facts = Facts()
        self.draining = False
        self.idle = asyncio.Event()
        self.idle.set()
        self._upstreams: Upstreams | None = None
        self._working: set[asyncio.Timeout] = set()

    @property
    def upstreams(self) -> Upstreams:
        """The engines. They belong to the event loop, so they exist once the application has started."""
        if self._upstreams is None:
            raise RuntimeError("the gateway has not started")
        return self._upstreams

    def start(self) -> None:
        """Begin to open the engines."""
        told = self.facts.learn if self.settings.server.examine else _ignore
        self._upstreams = Upstreams(self.settings.engines, self._given, told)
        self._upstreams.start()

    async def close(self) -> None:
        """Close the engines."""
        await self.facts.close()
        if self._upstreams is not None:
            await self._upstreams.close()

    @property
    def working(self) -> int:
        """How many requests are at work."""
        return len(self._working)

    def drain(self) -> None:
        """Take nothing new."""
        self.draining = True

    def cut(self) -> None:
        """End whatever is still at work, with an error that its client is told."""
        for limit in self._working:
            limit.reschedule(asyncio.get_running_loop().time())

    @contextmanager
    def at_work(self, limit: asyncio.Timeout) -> Iterator[None]:
        """Count a request as being at work under a time limit. Raises `ApiError` 503 once the gateway drains."""
        if self.draining:
            raise self.going_down()
        self._working.add(limit)
        self.idle.clear()
        try:
            yield
        finally:
            self._working.discard(limit)
            if not self._working:
                self.idle.set()

    def out_of_time(self) -> ApiError:
        """Return the error of a request that was cut: by the drain, or by its own time limit."""
        if self.draining:
            return self.going_down()
        return ApiError(504, f"the request took more than {self.settings.limits.seconds:g} s", code="request_timeout")

    def going_down(self) -> ApiError:
        """Return the error of a request that comes while the gateway stops."""
        return ApiError(503, "the gateway is shutting down; try again", code="shutting_down", retry_after=1, retry=True)


def _ignore(name: str, loaded: Loaded) -> None:
    """Find nothing out."""


GATEWAY = web.AppKey("gateway", Gateway)
ASKED = web.RequestKey("asked", Asked)
