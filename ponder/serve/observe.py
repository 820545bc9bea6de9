"""What the gateway tells whoever counts, logs or traces it: four moments of a request, never the text of one."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from ponder.core.trace import Call


@dataclass(slots=True)
class Seen:
    """One request as it is known so far; the same object is handed to every moment of it.

    `route` is the endpoint's pattern without `/v1` (`/chat/completions`), `client` the name of the key that was used,
    `peer` the caller's address. `model`, `method` and `stream` are filled in once the body was read and decided on,
    before the first upstream call. `headers` are those of the request that tracing needs (`traceparent`,
    `tracestate`), in lower case. Nothing here holds text of a prompt or a reply.
    """

    id: str
    route: str
    verb: str = "POST"
    client: str = ""
    peer: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)
    started_at: float = field(default_factory=time.time)
    model: str = ""
    method: str = ""
    engine: str = ""
    stream: bool = False
    first: float | None = None
    """When the first byte of the reply's body was written, on `time.monotonic()`."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a request ended.

    `status` is the HTTP status that was sent, 499 where the client left before any. `error` is the code of an error
    object, also of one that was sent in mid-stream. `finish` are the finish reasons of the choices, `evidence` what the
    method says of itself (exit, budget, enforced_by ...), one mapping for each choice; tokens are those of all calls.
    """

    status: int
    seconds: float
    error: str = ""
    left: bool = False
    """The client went away before the end."""
    finish: tuple[str, ...] = ()
    tokens_by_role: Mapping[str, int] = field(default_factory=dict)
    prompt_tokens: int = 0
    cached_tokens: int = 0
    exact: bool = True
    evidence: Sequence[Mapping[str, float | str]] = ()


class Observer(Protocol):
    """Is told of every request. Each method returns at once and never raises; all are called on the event loop."""

    def request_started(self, seen: Seen) -> None:
        """A request came in; its body is not read yet."""
        ...

    def first_byte(self, seen: Seen) -> None:
        """The first byte of a reply's body goes out; `seen.first` says when."""
        ...

    def upstream_call(self, seen: Seen, call: Call) -> None:
        """A generation of this request ended, whichever way; it took `call.seconds` until now."""
        ...

    def request_ended(self, seen: Seen, ended: Ended) -> None:
        """The reply was sent, refused, or left; always the last moment of a request, and always told."""
        ...


class Observers:
    """Several observers as one, told in their order."""

    def __init__(self, observers: Sequence[Observer] = ()) -> None:
        self._all = tuple(observers)

    def request_started(self, seen: Seen) -> None:
        """Tell all."""
        for one in self._all:
            one.request_started(seen)

    def first_byte(self, seen: Seen) -> None:
        """Tell all."""
        for one in self._all:
            one.first_byte(seen)

    def upstream_call(self, seen: Seen, call: Call) -> None:
        """Tell all."""
        for one in self._all:
            one.upstream_call(seen, call)

    def request_ended(self, seen: Seen, ended: Ended) -> None:
        """Tell all."""
        for one in self._all:
            one.request_ended(seen, ended)
