"""A load generator in one process: asks so many streams at once, or so many requests a second, and prints JSON.

    python load.py http://127.0.0.1:8000/v1/chat/completions --streams 16 --seconds 5 [--stream] [--order "delay=50"]
    python load.py ... --streams 16 --seconds 5 --rate 200

Closed loop without `--rate`: each of `--streams` connections sends its next request once the last one is answered. With
it, open loop: requests leave at random moments, so many a second in the mean, whether or not earlier ones are answered.
It speaks HTTP itself, on connections that it keeps: a request costs it a few dozen microseconds, which no HTTP client
library comes near, so the generator is not what is measured. Latencies are from the moment at which a request was sent;
`lag` tells how much later than planned that was. A reply counts if it is a 200 that holds the whole answer.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import time
from collections import Counter
from contextlib import suppress
from typing import cast
from urllib.parse import urlsplit

FIRST, LAST = b"alpha", b"omega"
PATIENCE = 10.0
"""Seconds that the last requests get to end."""


class Client(asyncio.Protocol):
    """One connection; it carries one request at a time and tells `load` of each end."""

    def __init__(self, load: Load) -> None:
        self.load = load
        self.busy = False
        self.sent = 0.0
        self.head = b""
        load.clients.add(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way to write."""
        self.transport = cast(asyncio.Transport, transport)

    def ask(self) -> None:
        """Send the request."""
        self.busy = True
        self.head = b""
        self.body = bytearray()
        self.length: int | None = None
        self.first: float | None = None
        self.sent = time.perf_counter()
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        """Read on, and end the request with the last byte of its reply."""
        if not self.busy:
            return
        self.body += data
        if not self.head:
            head, found, rest = bytes(self.body).partition(b"\r\n\r\n")
            if not found:
                return
            self.head, self.body = head.lower(), bytearray(rest)
            _, found, length = self.head.partition(b"\ncontent-length:")
            self.length = int(length.partition(b"\r")[0]) if found else None
        if self.first is None and FIRST in self.body:
            self.first = time.perf_counter() - self.sent
        chunked = self.length is None and b"chunked" in self.head
        if (chunked and self.body.endswith(b"0\r\n\r\n")) or (
            self.length is not None and len(self.body) >= self.length
        ):
            self.end()

    def connection_lost(self, error: Exception | None) -> None:
        """Take the end of a connection for the end of a reply where the server says so, and for a failure elsewhere."""
        if self.busy:
            if b"connection: close" in self.head and self.length is None:
                self.end()
            else:
                self.busy = False
                self.load.ended(self, "broken", 0.0, None)
        self.load.gone(self)

    def end(self) -> None:
        """Judge a reply."""
        self.busy = False
        took = time.perf_counter() - self.sent
        status = self.head[9:12].decode()
        whole = status == "200" and LAST in self.body
        verdict = "ok" if whole else "incomplete" if status == "200" else status
        if verdict != "ok" and not self.load.sample:
            self.load.sample = bytes(self.body[:300]).decode("utf-8", "replace")
        closing = b"connection: close" in self.head or self.head.startswith(b"http/1.0")
        if closing:
            self.transport.close()
        self.load.ended(self, verdict, took, self.first, reusable=not closing)


class Load:
    """A run."""

    def __init__(self, url: str, body: dict[str, object], options: argparse.Namespace) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "127.0.0.1", parts.port or 80
        data = json.dumps(body).encode()
        self.request = (
            f"POST {parts.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {options.key}\r\nContent-Length: {len(data)}\r\n\r\n"
        ).encode() + data
        self.options = options
        self.idle: list[Client] = []
        self.clients: set[Client] = set()
        self.done = asyncio.Event()
        self.verdicts: Counter[str] = Counter()
        self.took: list[float] = []
        self.firsts: list[float] = []
        self.lags: list[float] = []
        self.flying = self.most = self.answered = 0
        self.area = 0.0
        self.sample = ""
        self.stopping = False
        self.counting = False
        self.opening: set[asyncio.Task[None]] = set()

    async def connect(self) -> Client:
        """Open a connection."""
        loop = asyncio.get_running_loop()
        return (await loop.create_connection(lambda: Client(self), self.host, self.port))[1]

    def send(self, client: Client) -> None:
        """Send one request on a connection."""
        self.flying += 1
        self.most = max(self.most, self.flying)
        client.ask()

    def ended(self, client: Client, verdict: str, took: float, first: float | None, reusable: bool = False) -> None:
        """Note an end, and go on."""
        self.flying -= 1
        self.answered += 1
        if not self.flying:
            self.done.set()
        if self.counting:
            self.verdicts[verdict] += 1
            if verdict == "ok":
                self.took.append(took)
                self.area += took
                if first is not None:
                    self.firsts.append(first)
        if reusable and not self.stopping and self.options.rate is None:
            self.send(client)
        elif reusable:
            self.idle.append(client)
        elif not self.stopping and self.options.rate is None:
            self.open_and_send()

    def gone(self, client: Client) -> None:
        """Forget a connection that is closed."""
        self.clients.discard(client)
        if client in self.idle:
            self.idle.remove(client)

    def open_and_send(self) -> None:
        """Send on a new connection."""

        async def go() -> None:
            try:
                self.send(await self.connect())
            except OSError:
                self.verdicts["no connection"] += 1
                await asyncio.sleep(0.05)

        task = asyncio.create_task(go())
        self.opening.add(task)
        task.add_done_callback(self.opening.discard)

    async def closed(self, seconds: float) -> None:
        """Keep every stream busy."""
        for client in [await self.connect() for _ in range(self.options.streams)]:
            self.send(client)
        await asyncio.sleep(seconds)

    async def open(self, seconds: float) -> None:
        """Send at random moments."""
        loop, rng = asyncio.get_running_loop(), random.Random(self.options.seed)
        end = loop.time() + seconds
        at = loop.time()
        while (at := at + rng.expovariate(self.options.rate)) < end:
            wait = at - loop.time()
            # A late generator catches up without sleeping, and says so in `lag`.
            if wait > 0:
                await asyncio.sleep(wait)
            self.lags.append(max(0.0, loop.time() - at))
            if self.idle:
                self.send(self.idle.pop())
            else:
                self.open_and_send()

    async def run(self) -> dict[str, object]:
        """Warm up, measure, and wait for the last ones."""
        if self.options.rate is not None:
            self.idle = [await self.connect() for _ in range(min(64, self.options.streams))]
        if self.options.warm:
            await self.phase(self.options.warm, counting=False)
        spent, began = time.process_time(), time.perf_counter()
        seconds = await self.phase(self.options.seconds, counting=True)
        return self.report(seconds, time.process_time() - spent, time.perf_counter() - began)

    async def phase(self, seconds: float, counting: bool) -> float:
        """Send for so long and wait until all is answered; return how long was sent."""
        self.counting, self.stopping = counting, False
        began = time.perf_counter()
        await (self.closed if self.options.rate is None else self.open)(seconds)
        measured = time.perf_counter() - began
        # In a closed loop, what ends later would count for longer than was measured.
        self.counting = counting and self.options.rate is not None
        self.stopping = True
        if self.flying:
            self.done.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.done.wait(), PATIENCE)
        if self.flying or self.options.rate is None:
            self.verdicts["no answer"] += self.flying if counting else 0
            self.drop()
        return measured

    def drop(self) -> None:
        """Cut all connections."""
        for client in self.clients:
            client.busy = False
            client.transport.abort()
        self.idle, self.flying = [], 0

    def report(self, seconds: float, cpu: float, whole: float) -> dict[str, object]:
        """Return what was measured."""
        bad = {name: number for name, number in self.verdicts.items() if name != "ok" and number}
        return {
            "requests": self.verdicts["ok"],
            "answered": self.answered,
            "bad": bad,
            "sample": self.sample,
            "per_second": self.verdicts["ok"] / seconds,
            "in_flight": self.area / seconds,
            "most_in_flight": self.most,
            "latency_ms": spread(self.took),
            "first_token_ms": spread(self.firsts),
            "lag_ms": spread(self.lags),
            "generator_busy": cpu / whole,
        }


def spread(values: list[float]) -> dict[str, float]:
    """Return percentiles, in milliseconds."""
    if not values:
        return {}
    ordered = sorted(values)
    at = {f"p{p}": ordered[min(len(ordered) - 1, int(p / 100 * len(ordered)))] for p in (50, 95, 99)}
    return {name: round(1000 * value, 3) for name, value in {**at, "mean": sum(ordered) / len(ordered)}.items()}


def main() -> None:
    """Print one JSON object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--warm", type=float, default=0.5, help="seconds before, that do not count")
    parser.add_argument("--rate", type=float, help="requests a second, in the mean")
    parser.add_argument("--stream", action="store_true", help="ask for server-sent events")
    parser.add_argument("--order", default="tokens=16", help="what the upstream is told")
    parser.add_argument("--model", default="bench")
    parser.add_argument("--key", default="none")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    content = f"Count to sixteen, please. [[{options.order}]]"
    body: dict[str, object] = {"model": options.model, "messages": [{"role": "user", "content": content}]}
    if options.stream:
        body["stream"] = True
    print(json.dumps(asyncio.run(Load(options.url, body, options).run())))


if __name__ == "__main__":
    main()
