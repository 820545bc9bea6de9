"""Who may ask, how much at once, and from which web page: checked before a request's body is read."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from ponder.serve.fail import ApiError
from ponder.serve.settings import Key, Limits

_LOCAL = ("localhost", "127.0.0.1", "::1")


def new_key() -> str:
    """Return a fresh key of 256 bits."""
    return "pk-" + secrets.token_urlsafe(32)


def hash_key(key: str) -> str:
    """Return what stands in the file for a key.

    A plain digest is enough for what nobody can guess: keys are drawn, never chosen, so there is nothing to slow down.
    """
    return "sha256:" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()


class Keys:
    """The clients that may ask. Without any key, everybody who reaches the port may."""

    def __init__(self, keys: Sequence[Key]) -> None:
        self._keys = tuple(keys)

    def client(self, authorization: str, api_key: str = "") -> Key | None:
        """Return the key behind `Authorization: Bearer ...` or `x-api-key`; None where none is asked for.

        Raises `ApiError` 401. Every key is compared, and each in constant time.
        """
        if not self._keys:
            return None
        scheme, _, token = authorization.strip().partition(" ")
        given = token.strip() if scheme.lower() == "bearer" else api_key.strip()
        if not given:
            raise ApiError(401, "no API key: send it as Authorization: Bearer KEY", code="invalid_api_key")
        digest, found = hash_key(given), None
        for key in self._keys:
            if hmac.compare_digest(digest, key.hash):
                found = key
        if found is None:
            raise ApiError(401, "the API key is not known to this gateway; check it", code="invalid_api_key")
        return found


class Origins:
    """The web pages that may call the gateway: those of this machine, and those that are named.

    A browser tells where a page came from; without this check any page could use a gateway that listens on loopback.
    """

    def __init__(self, named: Sequence[str]) -> None:
        self._any = "*" in named
        self._named = frozenset(origin.rstrip("/").lower() for origin in named)

    def check(self, origin: str) -> str:
        """Return the origin that may read the reply, or nothing where no page asks. Raises `ApiError` 403."""
        if not origin or self._any:
            return origin
        host = urlsplit(origin).hostname if "://" in origin else None
        if host in _LOCAL or origin.rstrip("/").lower() in self._named:
            return origin
        raise ApiError(403, "this web page may not call the gateway; name it under origins in [server]", code="origin")


class Gate:
    """Lets so many requests be at work, lets some more wait in order, and refuses the rest with 429."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._waiting: deque[asyncio.Future[None]] = deque()
        self.active = 0

    @property
    def waiting(self) -> int:
        """How many requests wait for a place."""
        return len(self._waiting)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Hold a place. Raises `ApiError` 429, with a `Retry-After`, where there is none in time."""
        if self.active < self._limits.concurrency and not self._waiting:
            self.active += 1
        else:
            await self._wait()
        try:
            yield
        finally:
            self._leave()

    async def _wait(self) -> None:
        if len(self._waiting) >= self._limits.queue:
            raise self._full("too many requests wait already")
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            async with asyncio.timeout(self._limits.queue_seconds):
                await turn
        except BaseException as error:
            if turn.done() and not turn.cancelled():
                self._leave()  # the place was handed over at the very moment of leaving
            else:
                self._waiting.remove(turn)
            if isinstance(error, TimeoutError):
                raise self._full(f"no place within {self._limits.queue_seconds:g} s") from None
            raise

    def _leave(self) -> None:
        """Hand the place to whoever waits longest, or give it back."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.active -= 1

    def _full(self, why: str) -> ApiError:
        message = f"the gateway is at its limit of {self._limits.concurrency} requests: {why}; try again"
        return ApiError(429, message, code="rate_limit_exceeded", retry_after=1.0, retry=True)
