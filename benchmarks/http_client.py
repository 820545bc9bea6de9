"""What a streamed chunk costs in each HTTP client, and whether leaving a stream stops the server.

    python benchmarks/http_client.py [--chunks 20000]

Compares aiohttp (which ponder uses) with httpx and httpx2 where these are installed. The server is a process of its
own that writes server-sent events of about 250 bytes, one write each, as fast as they are taken or one a tick.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import json
import multiprocessing
import statistics
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from multiprocessing.connection import Connection

from ponder.engines.sse import EventParser

Open = Callable[[str], AbstractAsyncContextManager[AsyncIterator[bytes]]]


def event(number: int) -> bytes:
    """Return one event as vLLM would send it."""
    delta = {"index": 0, "delta": {"content": f" word{number}"}, "logprobs": None, "finish_reason": None}
    head = {"id": "chatcmpl-0123456789abcdef", "object": "chat.completion.chunk", "created": 1700000000, "model": "m"}
    return (
        b"data: " + json.dumps({**head, "choices": [delta], "usage": {"completion_tokens": number}}).encode() + b"\n\n"
    )


class Server:
    """Counts what it generates; a path is `/chunks/tick in microseconds`, and `/count` asks for the count."""

    def __init__(self) -> None:
        self.generated = 0

    async def serve(self, pipe: Connection) -> None:
        """Listen, and tell the port."""
        server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request on one connection."""
        try:
            request = (await reader.readuntil(b"\r\n\r\n")).split(b" ", 2)[1].decode()
            if request == "/count":
                body = str(self.generated).encode()
                writer.write(
                    b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
                )
                self.generated = 0
            else:
                _, chunks, tick = request.split("/")
                await self.stream(writer, int(chunks), int(tick) / 1e6)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def stream(self, writer: asyncio.StreamWriter, chunks: int, tick: float) -> None:
        """Generate until done or until the client is gone."""
        head = b"Content-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
        writer.write(b"HTTP/1.1 200 OK\r\n" + head)
        for number in range(chunks):
            if tick:
                await asyncio.sleep(tick)
            data = event(number)
            writer.write(b"%x\r\n%b\r\n" % (len(data), data))
            await writer.drain()
            self.generated += 1
        writer.write(b"0\r\n\r\n")


def run_server(pipe: Connection) -> None:
    """Serve until the process is ended."""
    asyncio.run(Server().serve(pipe))


@asynccontextmanager
async def with_aiohttp(url: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """Read what has arrived, parse it ourselves, and abort the transport at the end: what ponder does."""
    import aiohttp

    async with aiohttp.ClientSession() as session:
        response = await session.get(url)
        try:
            yield response.content.iter_any()
        finally:
            if response.connection is not None and response.connection.transport is not None:
                response.connection.transport.abort()
            response.close()


def with_httpx(name: str) -> Open:
    """Read raw bytes through httpx or httpx2; leaving the block closes the connection."""

    @asynccontextmanager
    async def open_stream(url: str) -> AsyncIterator[AsyncIterator[bytes]]:
        httpx = importlib.import_module(name)
        async with httpx.AsyncClient(timeout=None) as client, client.stream("GET", url) as response:
            yield response.aiter_raw()

    return open_stream


async def consume(opening: Open, url: str, limit: int) -> int:
    """Read events until `limit` of them were decoded; return how many there were."""
    parser, seen = EventParser(), 0
    async with opening(url) as pieces:
        async for piece in pieces:
            for data in parser.feed(piece):
                json.loads(data)
                seen += 1
            if seen >= limit:
                break
    return seen


async def counted(port: int) -> int:
    """Ask the server how much it has generated since the last time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /count HTTP/1.1\r\n\r\n")
    body = (await reader.read()).rpartition(b"\r\n")[2]
    writer.close()
    return int(body)


async def measure(name: str, opening: Open, port: int, chunks: int) -> None:
    """Print one row."""
    url = f"http://127.0.0.1:{port}"
    await consume(opening, f"{url}/100/0", 100)
    cost = []
    for tick in (0, 1000):
        number = chunks if tick == 0 else chunks // 20
        rounds = []
        for _ in range(3):
            start = time.process_time()
            await consume(opening, f"{url}/{number}/{tick}", number)
            rounds.append((time.process_time() - start) / number * 1e6)
        cost.append(statistics.median(rounds))
    await counted(port)
    over = []
    for _ in range(5):
        seen = await consume(opening, f"{url}/100000/5000", 20)
        await asyncio.sleep(0.15)
        over.append(await counted(port) - seen)
    eight = await asyncio.gather(*(consume(opening, f"{url}/100000/10000", 20) for _ in range(8)))
    await asyncio.sleep(0.15)
    mean = (await counted(port) - sum(eight)) / 8
    print(f"{name:10} {cost[0]:12.1f} {cost[1]:12.1f} {max(over):14} {mean:14.2f}", flush=True)


def main() -> None:
    """Measure every client that is installed."""
    arguments = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else "")
    arguments.add_argument("--chunks", type=int, default=20_000)
    chunks = arguments.parse_args().chunks
    clients: dict[str, Open] = {"aiohttp": with_aiohttp, "httpx": with_httpx("httpx"), "httpx2": with_httpx("httpx2")}
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=run_server, args=(theirs,), daemon=True)
    server.start()
    port = ours.recv()
    print(f"{'client':10} {'us/chunk':>12} {'us, a ms each':>12} {'overrun alone':>14} {'mean of eight':>14}")
    for name, opening in clients.items():
        if importlib.util.find_spec(name) is None:
            print(f"{name:10} not installed")
        else:
            asyncio.run(measure(name, opening, port, chunks))
    server.terminate()


if __name__ == "__main__":
    main()
