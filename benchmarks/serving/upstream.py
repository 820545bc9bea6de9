"""An OpenAI-compatible server that answers at once, or as badly as it is told: `python upstream.py --port 0`.

What it does with a request stands in the prompt, since every gateway forwards that: `[[delay=50 tokens=16]]`.

    id       name under which the request is counted        tokens   how many it writes (16)
    delay    ms before the first byte (0)                   think    how many of them are reasoning (0)
    tick     ms between two tokens (0)                      size     characters of a token (6)
    fault    429 | 500 | reset | garbage | stall            at       token before which the fault strikes (0)
    times    how many attempts of this id fail (all)        stall    ms of silence (5000)

The first token of the answer is `alpha`, the last one `omega`. `GET /counts` tells connections, generations at work,
and tokens by id; a token counts as generated once it is handed to the socket. It parses no JSON and writes a reply
without ticks at one go: an answer costs it about a tenth of what any gateway spends on it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import socket
import struct
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_lowercase
from typing import cast

MODELS = b'{"object":"list","data":[{"id":"bench","object":"model","created":0,"owned_by":"bench"}]}'
DIRECTIVE = re.compile(rb"\[\[([^\]]*)\]\]")
LENGTH = re.compile(rb"content-length: *(\d+)", re.IGNORECASE)
STREAM = re.compile(rb'"stream": ?true')
USAGE = re.compile(rb'"include_usage": ?true')
HEAD = '"id":"chatcmpl-0","created":1700000000,"model":"bench"'
DONE = b"data: [DONE]\n\n"
PROMPT_TOKENS = 8


@dataclass(frozen=True)
class Order:
    """What one request asks for."""

    id: str = ""
    delay: int = 0
    tokens: int = 16
    think: int = 0
    tick: int = 0
    size: int = 6
    fault: str = ""
    at: int = 0
    times: int = 1 << 30
    stall: int = 5000

    @classmethod
    def read(cls, body: bytes) -> Order:
        """Read the last directive of a request's body."""
        found = DIRECTIVE.findall(body)
        return cls.parse(found[-1]) if found else cls()

    @classmethod
    @lru_cache(4096)
    def parse(cls, text: bytes) -> Order:
        """Read `name=value` pairs."""
        pairs = dict(pair.split("=", 1) for pair in text.decode().split())
        return cls(**{name: value if name in ("id", "fault") else int(value) for name, value in pairs.items()})

    @property
    def words(self) -> list[str]:
        """The tokens that it writes: reasoning first, then an answer from alpha to omega."""
        total = self.think + max(2, self.tokens - self.think)
        words = [filler(index, self.size) for index in range(total)]
        words[self.think], words[-1] = "alpha ", "omega"
        return words


@lru_cache(4096)
def filler(index: int, size: int) -> str:
    """Return a word of so many characters; no two are alike, since a gateway may close a text that repeats itself."""
    return "".join(random.Random(index).choices(ascii_lowercase, k=size - 1)) + " "


@dataclass
class Count:
    """What became of the requests of one id."""

    attempts: int = 0
    generated: int = 0
    ended: int = 0


def token(order: Order, index: int, word: str) -> bytes:
    """Return the event of one token."""
    field = "reasoning_content" if index < order.think else "content"
    delta = f'{{"index":0,"delta":{{"{field}":"{word}"}},"finish_reason":null}}'
    return f'data: {{{HEAD},"object":"chat.completion.chunk","choices":[{delta}]}}\n\n'.encode()


def usage(order: Order) -> str:
    """Return the usage object."""
    total = len(order.words)
    detail = f'"completion_tokens_details":{{"reasoning_tokens":{order.think}}}'
    return (
        f'{{"prompt_tokens":{PROMPT_TOKENS},"completion_tokens":{total},'
        f'"total_tokens":{PROMPT_TOKENS + total},{detail}}}'
    )


def tail(order: Order, with_usage: bool) -> bytes:
    """Return the last events of a stream."""
    event = f'data: {{{HEAD},"object":"chat.completion.chunk"'
    last = f'{event},"choices":[{{"index":0,"delta":{{}},"finish_reason":"stop"}}]}}\n\n'
    if with_usage:
        last += f'{event},"choices":[],"usage":{usage(order)}}}\n\n'
    return last.encode() + DONE


@lru_cache(256)
def whole_stream(order: Order, with_usage: bool) -> bytes:
    """Return a stream as one piece, in HTTP's chunked coding."""
    body = b"".join(token(order, i, word) for i, word in enumerate(order.words)) + tail(order, with_usage)
    return stream_head() + chunk(body) + b"0\r\n\r\n"


@lru_cache(256)
def whole_reply(order: Order) -> bytes:
    """Return a reply that is not streamed."""
    thought, answer = "".join(order.words[: order.think]), "".join(order.words[order.think :])
    reasoning = f',"reasoning_content":"{thought}"' if thought else ""
    message = f'{{"role":"assistant","content":"{answer}"{reasoning}}}'
    choice = f'{{"index":0,"message":{message},"finish_reason":"stop","logprobs":null}}'
    return plain(200, f'{{{HEAD},"object":"chat.completion","choices":[{choice}],"usage":{usage(order)}}}'.encode())


def stream_head() -> bytes:
    """Return the headers of a stream."""
    return b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Return a piece of a body in the chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def plain(status: int, body: bytes, headers: bytes = b"") -> bytes:
    """Return a whole reply in JSON."""
    return b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n%b" % (
        status, len(body), headers, body,
    )  # fmt: skip


class Upstream:
    """Counts over all connections."""

    def __init__(self) -> None:
        self.connections = 0
        self.generating = 0
        self.requests = 0
        self.counts: dict[str, Count] = {}

    def count(self, order: Order) -> Count:
        """Return the counter of a request's id."""
        return self.counts.setdefault(order.id, Count())

    def report(self) -> bytes:
        """Return the counts; the connection that asks is not one of them."""
        by_id = {name: [count.attempts, count.generated, count.ended] for name, count in self.counts.items()}
        return json.dumps({
            "connections": self.connections - 1,
            "generating": self.generating,
            "requests": self.requests,
            "ids": by_id,
        }).encode()  # fmt: skip


class Connection(asyncio.Protocol):
    """One client; it may send one request after another."""

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.buffer = b""
        self.task: asyncio.Task[None] | None = None
        self.writable = asyncio.Event()
        self.writable.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Count a connection in."""
        self.transport = cast(asyncio.Transport, transport)
        self.upstream.connections += 1

    def connection_lost(self, error: Exception | None) -> None:
        """Count it out; whoever left gets no further token."""
        self.upstream.connections -= 1
        if self.task is not None:
            self.task.cancel()

    def pause_writing(self) -> None:
        """The other side reads more slowly than we write."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """It has caught up."""
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        """Answer a request as soon as it is whole."""
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end]
        found = LENGTH.search(head)
        last = end + 4 + (int(found[1]) if found else 0)
        if len(self.buffer) >= last:
            body, self.buffer = self.buffer[end + 4 : last], self.buffer[last:]
            self.answer(head, body)

    def answer(self, head: bytes, body: bytes) -> None:
        """Answer one request."""
        verb, _, rest = head.partition(b" ")
        path = rest.partition(b" ")[0]
        if verb == b"POST" and path.endswith(b"/completions"):
            self.generate(Order.read(body), bool(STREAM.search(body)), bool(USAGE.search(body)))
        elif path == b"/counts":
            self.transport.write(plain(200, self.upstream.report()))
        elif path.endswith(b"/models"):
            self.transport.write(plain(200, MODELS))
        else:
            self.transport.write(plain(404, b'{"error":{"message":"no such path","type":"not_found_error"}}'))

    def generate(self, order: Order, stream: bool, with_usage: bool) -> None:
        """Answer a request for tokens: at one go where nothing speaks against it."""
        self.upstream.requests += 1
        if order.tick or order.fault or order.id:
            self.task = asyncio.create_task(self.slowly(order, stream, with_usage))
            return
        data = whole_stream(order, with_usage) if stream else whole_reply(order)
        if order.delay:
            asyncio.get_running_loop().call_later(order.delay / 1000, self.transport.write, data)
        else:
            self.transport.write(data)

    async def slowly(self, order: Order, stream: bool, with_usage: bool) -> None:
        """Answer token by token, with the fault that is asked for."""
        count = self.upstream.count(order)
        count.attempts += 1
        fault = order.fault if count.attempts <= order.times else ""
        self.upstream.generating += 1
        try:
            await asyncio.sleep(order.delay / 1000)
            if fault in ("429", "500"):
                self.refuse(int(fault))
            elif stream:
                await self.stream(order, count, with_usage, fault)
            else:
                await asyncio.sleep(order.tick * order.tokens / 1000)
                count.generated += len(order.words)
                count.ended += 1
                self.transport.write(whole_reply(order))
        finally:
            self.upstream.generating -= 1

    def refuse(self, status: int) -> None:
        """Answer with an error."""
        kind = "rate_limit_error" if status == 429 else "server_error"
        headers = b"Retry-After: 1\r\n" if status == 429 else b""
        error = {"error": {"message": f"told to say {status}", "type": kind, "param": None, "code": None}}
        self.transport.write(plain(status, json.dumps(error).encode(), headers))

    async def stream(self, order: Order, count: Count, with_usage: bool, fault: str) -> None:
        """Write tokens one by one, not faster than they are taken."""
        self.transport.write(stream_head())
        for index, word in enumerate(order.words):
            if index:
                await asyncio.sleep(order.tick / 1000)
            if fault and index == order.at and not await self.strike(order, fault):
                return
            await self.writable.wait()
            self.transport.write(chunk(token(order, index, word)))
            count.generated += 1
        self.transport.write(chunk(tail(order, with_usage)) + b"0\r\n\r\n")
        count.ended += 1

    async def strike(self, order: Order, fault: str) -> bool:
        """Do what is asked for in mid-stream; whether the stream goes on."""
        if fault == "stall":
            await asyncio.sleep(order.stall / 1000)
        elif fault == "garbage":
            self.transport.write(chunk(b"data: {\xff\xfe not JSON at all\n\n\x00\x00event: ??\n"))
            self.transport.close()
        elif fault == "reset":
            # With no time to linger, closing sends a reset instead of an end.
            linger = struct.pack("ii", 1, 0)
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.transport.abort()
        return fault == "stall"


async def serve(port: int) -> None:
    """Listen on loopback and print the port."""
    upstream = Upstream()
    server = await asyncio.get_running_loop().create_server(
        lambda: Connection(upstream), "127.0.0.1", port, backlog=4096
    )
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0)
    asyncio.run(serve(parser.parse_args().port))


if __name__ == "__main__":
    main()
