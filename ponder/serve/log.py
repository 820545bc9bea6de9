"""One line for each request: JSON for machines, a short line on a terminal; never a prompt, a reply or a key."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import TextIO

from ponder.core.trace import Call
from ponder.serve.observe import Ended, Seen
from ponder.serve.tally import Tallies, Tally

QUIET = frozenset({"/health", "/health/readiness", "/health/liveliness", "/metrics"})
"""Endpoints that are asked every few seconds by machines: they are logged only when they fail."""

_LONGEST = 200


class RequestLog:
    """An observer that writes a line when a request has ended.

    `pretty` chooses lines for people; left out, a terminal gets them and everything else gets JSON. Lines that cannot
    be written (a full disk, a closed pipe) are counted in `lost`, and the request goes on.
    """

    def __init__(self, out: TextIO, *, pretty: bool | None = None, quiet: Collection[str] = QUIET) -> None:
        self._out = out
        self._pretty = out.isatty() if pretty is None else pretty
        self._colour = self._pretty and out.isatty() and not os.environ.get("NO_COLOR")
        self._quiet = frozenset(quiet)
        self._tallies = Tallies()
        self.lost = 0

    def request_started(self, seen: Seen) -> None:
        """Begin to count what a request spends."""
        self._tallies.begin(seen)

    def first_byte(self, seen: Seen) -> None:
        """Nothing: the line at the end has it."""

    def upstream_call(self, seen: Seen, call: Call) -> None:
        """Count a call."""
        self._tallies.of(seen).add(seen, call)

    def request_ended(self, seen: Seen, ended: Ended) -> None:
        """Write the line."""
        tally = self._tallies.end(seen)
        if seen.route in self._quiet and ended.status < 400:
            return
        line = self._short(seen, ended, tally) if self._pretty else json.dumps(record(seen, ended, tally))
        try:
            self._out.write(line + "\n")
            self._out.flush()
        except (OSError, ValueError):  # ValueError: the file was closed
            self.lost += 1

    def _short(self, seen: Seen, ended: Ended, tally: Tally) -> str:
        at = datetime.fromtimestamp(seen.started_at).strftime("%H:%M:%S")
        parts = [at, self._status(ended), f"{ended.seconds:7.2f} s", plain(seen.route)]
        if seen.model:
            parts.append(plain(seen.model) + (f" by {plain(seen.method)}" if seen.method else ""))
        if tally.tokens:
            parts.append(", ".join(f"{role} {tokens}" for role, tokens in tally.tokens_by_role.items()) + " tokens")
        parts += [f"{name} {plain(str(value))}" for name, value in _decided(ended).items()]
        parts += [plain(ended.error)] if ended.error else []
        parts += ["client left"] if ended.left else []
        return "  ".join([*parts, plain(seen.id)])

    def _status(self, ended: Ended) -> str:
        if not self._colour:
            return str(ended.status)
        colour = 31 if ended.status >= 500 else 33 if ended.status >= 400 or ended.error else 32
        return f"\x1b[{colour}m{ended.status}\x1b[0m"


def record(seen: Seen, ended: Ended, tally: Tally) -> dict[str, object]:
    """Return what is logged of a request: who, what, how it ended and what it cost; empty fields are left out."""
    level = "error" if ended.status >= 500 else "warning" if ended.status >= 400 or ended.error else "info"
    at = datetime.fromtimestamp(seen.started_at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    first = None if seen.first is None else round(seen.first - seen.started, 4)
    named: dict[str, object] = {
        "request_id": plain(seen.id),
        "client": plain(seen.client),
        "verb": plain(seen.verb),
        "endpoint": plain(seen.route),
        "model": plain(seen.model),
        "method": plain(seen.method),
        "engine": plain(seen.engine),
        "error": plain(ended.error),
        "finish": list(ended.finish),
        **_decided(ended),
    }
    said = {name: value for name, value in named.items() if value not in ("", [], None)}
    counted: dict[str, object] = {
        "status": ended.status,
        "seconds": round(ended.seconds, 4),
        **({} if first is None else {"first_byte_seconds": first}),
    }
    if seen.method:
        counted |= {
            "stream": seen.stream,
            "calls": tally.calls,
            "tokens": tally.tokens,
            "tokens_by_role": tally.tokens_by_role,
            "prompt_tokens": tally.prompt_tokens,
            "cached_tokens": tally.cached_tokens,
            "exact": tally.exact,
        }
    return {"time": at, "level": level, "event": "request", **said, **counted, **({"left": True} if ended.left else {})}


def _decided(ended: Ended) -> Mapping[str, float | str]:
    """What the method says of its decision on the first choice, under fixed names: evidence may hold more than that."""
    evidence = ended.evidence[0] if ended.evidence else {}
    names = ("exit", "budget", "enforced_by", "escaped", "route")
    found = {name: evidence[name] for name in names if evidence.get(name) not in (None, "", 0)}
    if "route" in evidence and "score" in evidence:
        found["route_score"] = evidence["score"]
    if "unscored" in evidence or str(evidence.get("reason", "")).startswith("the router"):
        # Why is for the client alone: a router's error may hold what was asked.
        found["router_failed"] = "yes"
    return {name: plain(value) if isinstance(value, str) else value for name, value in found.items()}


def plain(text: str) -> str:
    """Return a client's text without what could steer a terminal, and not longer than a line bears."""
    text = text[:_LONGEST]
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)
