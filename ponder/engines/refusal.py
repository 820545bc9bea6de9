"""What a refusal means: its message in any of the shapes that servers use, its status, and when to come back."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from time import time

RETRIED = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
"""The statuses after which the same request may succeed."""

_NAMED = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""The statuses that errors inside a stream have outside of one, by their type."""


def status_of(event: Mapping[str, object]) -> int | None:
    """Return the status of an error that came as an event, where its number or its type tells."""
    inner = event.get("error")
    error = inner if isinstance(inner, dict) else {}
    for value in (error.get("code"), error.get("status"), event.get("code")):
        if isinstance(value, int) and not isinstance(value, bool) and 100 <= value < 600:
            return value
    return _NAMED.get(str(error.get("type")))


def message_of(raw: bytes, content_type: str) -> tuple[str, str]:
    """Return (message, code) of an error body in any of the shapes that servers use, as one short line."""
    text = raw.decode("utf-8", "replace")
    if "html" in content_type or text.lstrip()[:1] == "<":
        title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
        return (f"an HTML page titled {_line(title[1])!r}" if title else "an HTML page"), ""
    try:
        found = json.loads(text)
    except ValueError:
        return _line(text), ""
    body = found if isinstance(found, dict) else {}
    error = body.get("error", body)
    inner = error if isinstance(error, dict) else {}
    said = error if isinstance(error, str) else inner.get("message") or inner.get("detail") or inner.get("msg") or ""
    code = inner.get("code")
    return _line(said if isinstance(said, str) else json.dumps(said)), code if isinstance(code, str) else ""


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that a `Retry-After` header asks for, given as seconds or as a date."""
    value = headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time())
    except ValueError:
        return None


def _line(text: str) -> str:
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return line if len(line) <= 200 else line[:199] + "…"
