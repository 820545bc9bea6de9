"""HTTP to a model server: JSON questions, event streams that end with the block, and errors in one sentence."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from types import SimpleNamespace, TracebackType
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

from ponder.core.errors import EngineError, OptionError
from ponder.engines.refusal import RETRIED, message_of, retry_after, status_of
from ponder.engines.sse import EventParser

Json = dict[str, object]
_MAX_BODY = 32 << 20


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long to wait, in seconds. `first` covers the server's queue and the reading of the prompt."""

    connect: float = 10.0
    first: float = 600.0
    between: float = 120.0
    probe: float = 5.0


def as_object(value: object) -> Json:
    """Return a JSON object, or an empty one for anything else: servers leave fields out or send null."""
    return value if isinstance(value, dict) else {}


def as_list(value: object) -> list[object]:
    """Return a JSON array, or an empty one for anything else."""
    return value if isinstance(value, list) else []


def as_text(value: object) -> str:
    """Return a JSON string, or an empty one for anything else."""
    return value if isinstance(value, str) else ""


def as_count(value: object) -> int | None:
    """Return a JSON number of things, or None for anything else, and for a number that no server can mean."""
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**40 else None


class Client:
    """One server. `key_env` names the environment variable that holds its key; the key is sent and never shown.

    `key_header` is where the key goes, and `headers` are what else every request carries.

    Connections are kept for reuse only after a reply was read to its end. Where a kept connection turns out to be
    dead before one byte came back, the request is sent once more on a new one.
    """

    def __init__(
        self,
        base: str,
        *,
        key_env: str | None = None,
        timeouts: Timeouts | None = None,
        key_header: str = "Authorization",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        try:
            parts = urlsplit(base)
            sound = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
        except ValueError:  # brackets that do not match, or a port that is none
            sound = None
        if not sound or not parts.hostname:
            raise OptionError(f"{base!r} is no server address; it must look like http://127.0.0.1:8000/v1")
        if parts.username or parts.password:
            raise OptionError(
                "a server address must not hold a password; put the key into the variable that key_env names"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.where = f"{host}:{parts.port}" if parts.port else host
        self.base = base.rstrip("/")
        self.timeouts = timeouts or Timeouts()
        self._key_env = key_env
        self._key = _read_key(key_env)
        self._key_header, self._headers = key_header, dict(headers or {})
        self._proxy = getproxies().get(parts.scheme) if not proxy_bypass(parts.hostname) else None
        if self._proxy and not self._proxy.startswith(("http://", "https://")):
            raise OptionError(f"{parts.scheme}_proxy names a proxy that is not http; unset it, or set no_proxy")
        self._session: aiohttp.ClientSession | None = None

    def __repr__(self) -> str:
        return f"Client({self.where})"

    async def open(self) -> None:
        """Open the connection pool."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "ponder", **self._headers}
        if self._key:
            headers[self._key_header] = f"Bearer {self._key}" if self._key_header == "Authorization" else self._key
        trace = aiohttp.TraceConfig()
        trace.on_connection_reuseconn.append(_note_reuse)
        self._session = aiohttp.ClientSession(
            headers=headers,
            # The limit on calls in flight is `wrap.Limit`'s matter; a second one here would only hide a queue.
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4.0),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=self.timeouts.connect),
            trace_configs=[trace],
            trust_env=False,
        )

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def ask(self, path: str, body: Json | None = None, *, seconds: float | None = None) -> Json | None:
        """GET `path`, or POST `body` to it; return the JSON object, or None for 404 and 405: no such endpoint."""
        raw = await self.fetch(path, body, seconds=seconds)
        try:
            return None if raw is None else as_object(json.loads(raw))
        except ValueError:
            return None

    async def fetch(self, path: str, body: Json | None = None, *, seconds: float | None = None) -> bytes | None:
        """Like `ask`, but return what came as it is."""
        try:
            async with asyncio.timeout(seconds or self.timeouts.first):
                reply = await self._send("GET" if body is None else "POST", path, body)
                async with reply:
                    if reply.status in (404, 405, 501):
                        return None
                    if reply.status != 200:
                        raise await self._refusal(reply, path)
                    return await _read(reply, _MAX_BODY)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._failure(error, path) from None

    def events(self, path: str, body: Json) -> EventStream:
        """POST `body` and read the events that come back; leaving the block closes the connection."""
        return EventStream(self, path, body)

    async def _send(self, method: str, path: str, body: Json | None) -> aiohttp.ClientResponse:
        if self._session is None:
            raise EngineError(f"{self.where}: the engine is not open; use it inside `async with`")
        data, headers = None, {}
        if body is not None:
            data, headers = _encode(body), {"Content-Type": "application/json"}
        url = path if "://" in path else self.base + path
        for again in (True, False):
            seen = SimpleNamespace(reused=False)
            try:
                return await self._session.request(
                    method,
                    url,
                    data=data,
                    headers=headers,
                    proxy=self._proxy,
                    # A redirect would carry the key and the prompt to a place that nobody named.
                    allow_redirects=False,
                    trace_request_ctx=seen,
                )
            except (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError):
                if not (again and seen.reused):
                    raise
        raise AssertionError("unreachable")

    def failure(
        self, text: str, *, status: int | None = None, retry: bool = False, after: float | None = None
    ) -> EngineError:
        """Return an error that names this server; the key is taken out of whatever the server said."""
        if self._key:
            text = text.replace(self._key, "***")
        return EngineError(f"{self.where} {text}", status=status, retry=retry, retry_after=after)

    def _failure(self, error: Exception, path: str) -> EngineError:
        """Say what a failed connection means."""
        if isinstance(error, aiohttp.ClientConnectorDNSError):
            return self.failure("has an unknown host name; check the address and the network", retry=True)
        if isinstance(error, aiohttp.ClientSSLError):
            return self.failure("has no valid TLS certificate; check the address, or http against https")
        if isinstance(error, aiohttp.ConnectionTimeoutError):
            return self.failure(f"took more than {self.timeouts.connect:g} s to connect; is it up?", retry=True)
        if isinstance(error, TimeoutError):
            return self.failure(f"gave no sign of life on {path} in time; it may be overloaded", retry=True)
        if isinstance(error, aiohttp.ClientConnectorError):
            return self.failure(
                f"cannot be reached ({error.os_error.strerror or 'no connection'}); is it running?", retry=True
            )
        if isinstance(error, aiohttp.InvalidURL):
            return self.failure("is not a valid address; check the url")
        if isinstance(
            error, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError | aiohttp.ClientOSError | OSError
        ):
            return self.failure("closed the connection in the middle; it may have died", retry=True)
        return self.failure(f"does not speak HTTP as it should ({type(error).__name__}); check the address")

    async def _refusal(self, reply: aiohttp.ClientResponse, path: str) -> EngineError:
        """Say what a status other than 200 means, with the server's own message kept short."""
        status = reply.status
        raw = b""
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(self.timeouts.probe):
                raw = await _read(reply, 1 << 16)
        said, code = message_of(raw, reply.content_type)
        remedy = self._remedy(status, path, reply.headers.get("Location", ""))
        retry = status in RETRIED and code != "insufficient_quota"
        should = reply.headers.get("x-should-retry", "").lower()
        retry = should == "true" if should in ("true", "false") else retry
        text = f"{remedy} (HTTP {status})" + (f": {said}" if said else "")
        return self.failure(text, status=status, retry=retry, after=retry_after(reply.headers))

    def _remedy(self, status: int, path: str, location: str) -> str:
        if status in (401, 403):
            if self._key_env:
                return f"refuses the key in the environment variable {self._key_env}"
            return "asks for a key; name the environment variable that holds it with key_env"
        if 300 <= status < 400:
            return f"redirects to {location[:200] or 'another address'}; use that address if you trust it"
        known = {
            400: "refused the request",
            404: f"knows no {path}, or not this model; check the address and the model's name",
            408: "took too long; try again later",
            413: "says that the prompt is too long; shorten it or raise the server's context length",
            422: "refused the request",
            429: "asks us to slow down; lower the concurrency or wait",
        }
        return known.get(status, "has trouble of its own" if status >= 500 else "refused the request")


class EventStream:
    """The events of one reply, as JSON objects. Leaving the block cuts the connection, which stops the server."""

    def __init__(self, client: Client, path: str, body: Json) -> None:
        self._client, self._path, self._body = client, path, body
        self._reply: aiohttp.ClientResponse | None = None
        self._parser = EventParser()
        self._ready: list[bytes] = []
        self._wait = client.timeouts.first
        self._ended = False
        self._watch: asyncio.TimerHandle | None = None
        self._due: float | None = None

    async def __aenter__(self) -> EventStream:
        client = self._client
        try:
            async with asyncio.timeout(self._wait):
                self._reply = await client._send("POST", self._path, self._body)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise client._failure(error, self._path) from None
        try:
            if self._reply.status != 200:
                raise await client._refusal(self._reply, self._path)
            if self._reply.content_type != "text/event-stream":
                await self._not_a_stream(self._reply)
        except BaseException:
            self._cut()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cut()

    async def next(self) -> Json | None:
        """Return the next event, or None at the end of the stream or at `[DONE]`."""
        while not self._ready:
            if self._ended or self._reply is None:
                return None
            raw = await self._read(self._reply.content)
            try:
                self._ready = self._parser.feed(raw) if raw else self._parser.close()
            except EngineError as error:
                raise self._client.failure(f": {error}") from None
            self._ended = not raw
            self._ready.reverse()
        return self._decode(self._ready.pop())

    async def _read(self, content: aiohttp.StreamReader) -> bytes:
        """Wait for more. One timer watches all waits of a stream: one for each would cost more than reading does."""
        self._due = asyncio.get_running_loop().time() + self._wait
        if self._watch is None:
            self._look()
        try:
            return await content.readany()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise self._client._failure(error, self._path) from None
        finally:
            self._due = None

    def _look(self) -> None:
        """End a wait that has taken too long; look again later at one that has not."""
        loop = asyncio.get_running_loop()
        if self._due is not None and self._due <= loop.time() and self._reply is not None:
            self._reply.content.set_exception(TimeoutError())
            return
        latest = loop.time() + self._client.timeouts.between
        self._watch = loop.call_at(min(self._due or latest, latest), self._look)

    async def several(self) -> list[Json]:
        """Return the next event and those that are here already; nothing at the end of the stream or at `[DONE]`.

        What is wrong with a later one is said when its turn comes: those before it are whole.
        """
        first = await self.next()
        events = [] if first is None else [first]
        while self._ready and first is not None:
            try:
                event = self._decode(self._ready[-1])
            except EngineError:
                break
            if event is None:
                break
            self._ready.pop()
            events.append(event)
        return events

    async def drain(self) -> None:
        """Read the few bytes behind the last event, so that the connection can be used again."""
        if self._reply is not None and not self._reply.content.at_eof():
            with suppress(TimeoutError, aiohttp.ClientError, OSError):
                async with asyncio.timeout(0.05):
                    await self._reply.content.readany()

    def _decode(self, data: bytes) -> Json | None:
        self._wait = self._client.timeouts.between
        if data.strip() == b"[DONE]":
            self._ended = True
            self._ready.clear()
            return None
        try:
            event = json.loads(data.decode())
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            start = data[:60].decode("utf-8", "replace")
            raise self._client.failure(f"sent an event that is not JSON: {start!r}", retry=True)
        if event.get("error"):
            raise self._broken(event)
        return event

    def _broken(self, event: Json) -> EngineError:
        said, _ = message_of(json.dumps(event).encode(), "application/json")
        status = status_of(event)
        retry = status is None or status in RETRIED
        return self._client.failure(f"broke off with an error: {said}", status=status, retry=retry)

    async def _not_a_stream(self, reply: aiohttp.ClientResponse) -> None:
        raw = b""
        with suppress(TimeoutError, aiohttp.ClientError, OSError):
            async with asyncio.timeout(self._client.timeouts.probe):
                raw = await _read(reply, 1 << 16)
        said, _ = message_of(raw, reply.content_type)
        text = f"did not stream on {self._path} but sent {reply.content_type}; check the address"
        raise self._client.failure(text + (f": {said}" if said else ""))

    def _cut(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        if (reply := self._reply) is None:
            return
        # Abort, not close: a TLS transport would first wait for the server's goodbye while it goes on generating.
        if reply.connection is not None and reply.connection.transport is not None:
            reply.connection.transport.abort()
        reply.close()
        self._reply = None


async def _note_reuse(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.reused = True


async def _read(reply: aiohttp.ClientResponse, limit: int) -> bytes:
    parts: list[bytes] = []
    while limit > 0 and (part := await reply.content.read(limit)):
        parts.append(part)
        limit -= len(part)
    return b"".join(parts)


def _encode(body: Json) -> bytes:
    try:
        return json.dumps(body, allow_nan=False).encode()
    except ValueError:
        raise OptionError("a sampling option is not a finite number; check temperature, top_p and logit_bias") from None


def _read_key(key_env: str | None) -> str | None:
    if not key_env:
        return None
    key = os.environ.get(key_env, "").strip()
    if not key:
        raise OptionError(f"the environment variable {key_env} is not set; export the server's key under that name")
    return key
