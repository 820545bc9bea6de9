"""What a request has spent so far, summed call by call: so the bill is known however the request ends."""

from __future__ import annotations

import time
from collections.abc import Mapping

from ponder.core.trace import Call, Role, Trace
from ponder.serve.observe import Seen


class Tally:
    """The calls of one request, as sums."""

    __slots__ = ("cached_tokens", "calls", "exact", "first_token", "prompt_tokens", "tokens_by_role")

    def __init__(self) -> None:
        self.calls = 0
        self.tokens_by_role: dict[Role, int] = {}
        self.prompt_tokens = self.cached_tokens = 0
        self.exact = True
        self.first_token: float | None = None
        """Seconds from the request to the first token that any model wrote for it."""

    @property
    def tokens(self) -> int:
        """The bill."""
        return sum(self.tokens_by_role.values())

    def add(self, seen: Seen, call: Call) -> Mapping[Role, int]:
        """Add a call that ends now; return its own tokens by role."""
        by_role = Trace([call]).tokens_by_role
        for role, tokens in by_role.items():
            self.tokens_by_role[role] = self.tokens_by_role.get(role, 0) + tokens
        self.calls += 1
        self.prompt_tokens += call.prompt_tokens
        self.cached_tokens += call.cached_tokens
        self.exact = self.exact and call.exact
        if call.first_token_seconds is not None:
            after = max(0.0, time.monotonic() - call.seconds + call.first_token_seconds - seen.started)
            self.first_token = after if self.first_token is None else min(after, self.first_token)
        return by_role


class Tallies:
    """The tallies of all requests that are open."""

    def __init__(self) -> None:
        self._open: dict[int, Tally] = {}

    def begin(self, seen: Seen) -> None:
        """Open one. A request is known by its object: clients choose ids, and two may choose the same."""
        self._open[id(seen)] = Tally()

    def of(self, seen: Seen) -> Tally:
        """Return the tally of an open request, or an empty one."""
        return self._open.get(id(seen)) or Tally()

    def end(self, seen: Seen) -> Tally:
        """Return the tally of a request and forget it."""
        return self._open.pop(id(seen), None) or Tally()
