"""What the gateway's own JSON costs: a streamed piece written, a request read. Beside them orjson, if it is installed.

python benchmarks/wire.py
"""

from __future__ import annotations

import json
import timeit
from collections.abc import Callable

from ponder.core.engine import Channel
from ponder.serve.chunks import ChatStream
from ponder.serve.request import read_chat, read_json
from ponder.serve.sse import event

COMMON = {
    "id": "chatcmpl-0123456789abcdef01234567",
    "object": "chat.completion.chunk",
    "created": 1700000000,
    "model": "qwen3:auto",
}
PIECE = " token"


def best(what: str, act: Callable[[], object], times: int) -> None:
    """Print the best of five rounds, in microseconds a call."""
    seconds = min(timeit.repeat(act, number=times, repeat=5)) / times
    print(f"{what:44} {seconds * 1e6:10.2f} us")


def chunk(delta: dict[str, str]) -> dict[str, object]:
    """Return a chunk as a value, as it would be built for a JSON encoder."""
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}
    return {**COMMON, "choices": [choice]}


def body(turns: int, size: int) -> bytes:
    """Return a request with so many turns of so many characters each."""
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": "word " * (size // 5)} for i in range(turns)]
    return json.dumps({"model": "qwen3", "messages": messages, "temperature": 0.6, "stream": True}).encode()


def main() -> None:
    """Measure and print."""
    stream = ChatStream("chatcmpl-0123456789abcdef01234567", 1700000000, "qwen3:auto")
    channels: tuple[Channel, ...] = ("think", "answer")
    for channel in channels:
        best(f"a piece ({channel}): joined", lambda channel=channel: stream.delta(PIECE, channel), 200_000)
    best("a piece (answer): a value through json", lambda: event(chunk({"content": PIECE})), 50_000)
    cases = {"8 turns of 200": body(8, 200), "200 turns of 500": body(200, 500), "one of 1 MB": body(1, 1 << 20)}
    for what, raw in cases.items():
        best(f"a request ({what}): json.loads alone", lambda raw=raw: json.loads(raw), 200)
        best(f"a request ({what}): read_json", lambda raw=raw: read_json(raw), 200)
        value = read_json(raw)
        best(f"a request ({what}): read_chat", lambda value=value: read_chat(value), 200)
    try:
        import orjson
    except ImportError:
        return
    best("a piece (answer): a value through orjson", lambda: orjson.dumps(chunk({"content": PIECE})), 200_000)
    for what, raw in cases.items():
        best(f"a request ({what}): orjson.loads", lambda raw=raw: orjson.loads(raw), 200)


if __name__ == "__main__":
    main()
