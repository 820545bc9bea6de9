"""Server-sent events, read as they arrive: bytes in, the data of whole events out (WHATWG HTML, section 9.2)."""

from __future__ import annotations

from ponder.core.errors import EngineError

MAX_EVENT = 8 << 20
"""Bytes that one event may take; a server that never ends a line must not fill our memory."""


class EventParser:
    """Splits a byte stream into events. Lines may be cut anywhere and end in LF, CR LF or CR.

    Comments and the fields `event`, `id` and `retry` are skipped: model servers put everything into `data`.
    Raises `EngineError` when one event is longer than `limit` bytes.
    """

    __slots__ = ("_data", "_held", "_limit", "_size", "_skip_lf", "_started")

    def __init__(self, limit: int = MAX_EVENT) -> None:
        self._held = b""
        self._data: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._skip_lf = False
        self._started = False

    def feed(self, raw: bytes) -> list[bytes]:
        """Return the data of every event that `raw` completes."""
        if self._skip_lf and raw:
            raw = raw.removeprefix(b"\n")
            self._skip_lf = False
        raw = self._held + raw
        if not self._started and len(raw) >= 3:
            raw = raw.removeprefix(b"\xef\xbb\xbf")
            self._started = True
        if b"\r" in raw:
            # A CR LF may be cut in two: the LF that opens the next piece then belongs to this line's end.
            self._skip_lf = raw.endswith(b"\r")
            raw = raw.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, self._held = raw.split(b"\n")
        events = [event for line in lines if (event := self._line(line)) is not None]
        self._check(len(self._held))
        return events

    def close(self) -> list[bytes]:
        """Return what stands after the last blank line: some servers forget the one that ends the stream."""
        tail = [self._held] if self._held else []
        self._held = b""
        events = [event for line in (*tail, b"") if (event := self._line(line)) is not None]
        return events

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            event = b"\n".join(self._data) if self._data else None
            self._data, self._size = [], 0
            return event
        if line.startswith(b"data:"):
            value = line[6:] if line[5:6] == b" " else line[5:]
            self._data.append(value)
            self._size += len(value)
            self._check(0)
        elif line == b"data":
            self._data.append(b"")
        return None

    def _check(self, more: int) -> None:
        if self._size + more > self._limit:
            raise EngineError(
                f"the server sent an event of more than {self._limit >> 20} MiB; it is not a token stream"
            )
