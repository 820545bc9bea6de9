"""Keeps a gateway busy for minutes while everything around it fails, and checks what must hold all the same.

    python benchmarks/soak.py [--minutes 10] [--streams 256] [--seed 0] [--out FOLDER] [--json]

So many clients ask one request after another. Upstream, some are answered with 429 and a Retry-After, 500, a reset in
mid-stream, bytes that are no events, or a silence; some clients read slowly, and some vanish in the middle. Then:

- memory is flat: the mean of the last quarter after warm-up is within 10 % of that of the first one;
- no connection to the upstream is open at the end, and nothing is being generated;
- every accepted request ended with the full answer or with an error object in OpenAI's form;
- what the gateway billed is what the upstream generated: exactly for streams that ended, within 2 tokens for others.

The bill is read from the gateway's own log, by request id. The exit code is 1 if anything of this does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import aiohttp
from serving.process import Running, free_port, started, upstream, wait_until_up

Verdict = Literal["whole", "error", "left", "wrong", "hung"]
TOLERANCE = 2
"""Tokens that may be generated unread when a stream is left."""
FLAT = 0.10
WARM = 0.2
"""Share of the run that is warm-up."""
KEEP_ALIVE = 12.0
"""Seconds of silence after which a stream begins with a comment; an error that comes later is an event."""


@dataclass(frozen=True)
class Kind:
    """One kind of request: how often it comes, what the upstream is told, and what the client does."""

    weight: int
    order: str = ""
    leaves: bool = False
    slow: bool = False
    status: int = 0
    """What must be answered where the fault comes before the first byte."""


KINDS = {
    "plain": Kind(80),
    "thinking": Kind(20, "think=12"),
    "429": Kind(10, "fault=429", status=429),
    "429 once": Kind(10, "fault=429 times=1"),
    "500": Kind(10, "fault=500", status=502),
    "500 once": Kind(6, "fault=500 times=1"),
    "reset": Kind(12, "fault=reset at=7"),
    "garbage": Kind(12, "fault=garbage at=5"),
    "stall": Kind(12, "fault=stall at=4"),
    # More than the sockets between the two can hold, and not twice as fast as it is read.
    "slow reader": Kind(1, "tokens=1500 size=4000 tick=2", slow=True),
    "vanishes": Kind(16, leaves=True),
    "vanishes at once": Kind(4, leaves=True),
}


@dataclass
class Asked:
    """One request and what became of it."""

    id: str
    kind: str
    stream: bool
    verdict: Verdict = "hung"
    status: int = 0
    said: str = ""
    tokens: int | None = None
    """The bill that the reply itself showed."""


@dataclass
class Watch:
    """What was seen over time: seconds and megabytes."""

    at: list[float] = field(default_factory=list)
    megabytes: list[float] = field(default_factory=list)

    def growth(self) -> float | None:
        """Return last quarter over first quarter after warm-up, less one."""
        steady = self.megabytes[int(len(self.megabytes) * WARM) :]
        quarter = len(steady) // 4
        if not quarter:
            return None
        return statistics.mean(steady[-quarter:]) / statistics.mean(steady[:quarter]) - 1


class Soak:
    """A run."""

    def __init__(self, url: str, options: argparse.Namespace) -> None:
        self.url, self.options = url, options
        self.rng = random.Random(options.seed)
        self.asked: list[Asked] = []
        self.end = time.monotonic() + 60 * options.minutes

    async def run(self, session: aiohttp.ClientSession) -> None:
        """Keep all clients busy until the time is over, and wait for the last requests."""
        async with asyncio.TaskGroup() as group:
            for index in range(self.options.streams):
                group.create_task(self.client(session, index))

    async def client(self, session: aiohttp.ClientSession, index: int) -> None:
        """Ask one request after another."""
        # Not all at once: a crowd that moves in step would measure the crowd.
        await asyncio.sleep(self.rng.random() * min(2.0, 6 * self.options.minutes))
        names, weights = list(KINDS), [kind.weight for kind in KINDS.values()]
        number = 0
        while time.monotonic() < self.end:
            name = self.rng.choices(names, weights)[0]
            asked = Asked(f"soak-{index}-{number}", name, self.rng.random() < 0.8 or KINDS[name].slow)
            self.asked.append(asked)
            number += 1
            try:
                async with asyncio.timeout(self.options.patience):
                    await self.ask(session, asked, KINDS[name])
            except TimeoutError:
                asked.verdict = "hung"
            except (aiohttp.ClientError, OSError) as error:
                asked.verdict, asked.said = "wrong", f"connection: {type(error).__name__}"

    def body(self, asked: Asked, kind: Kind) -> dict[str, object]:
        """Return a request; what the upstream shall do stands in its text."""
        tokens = self.rng.randint(12, 40)
        order = f"id={asked.id} tick={self.options.tick} stall={self.options.stall} tokens={tokens} {kind.order}"
        body: dict[str, object] = {
            "model": "bench:sample" if kind.slow else "bench",
            "messages": [{"role": "user", "content": f"Count, please. [[{' '.join(_last_wins(order))}]]"}],
        }
        if asked.stream:
            body |= {"stream": True, "stream_options": {"include_usage": True}}
        return body

    async def ask(self, session: aiohttp.ClientSession, asked: Asked, kind: Kind) -> None:
        """Send one request and judge its end."""
        headers = {"x-request-id": asked.id}
        patience = self.rng.uniform(0.0, 0.4) if asked.kind == "vanishes at once" else self.rng.uniform(0.3, 2.0)
        request, began = session.post(self.url, json=self.body(asked, kind), headers=headers), time.monotonic()
        try:
            async with asyncio.timeout(patience if kind.leaves else None):
                async with request as reply:
                    asked.status, late = reply.status, time.monotonic() - began > KEEP_ALIVE
                    if reply.content_type == "text/event-stream":
                        judge_stream(asked, await self.read(reply, kind))
                    else:
                        judge_body(asked, await reply.read())
                    told = late and asked.verdict == "error" and reply.status == 200
                    if kind.status and not told and (reply.status != kind.status or _unkind(reply)):
                        asked.verdict, asked.said = "wrong", f"status {reply.status}, headers {dict(reply.headers)}"
        except TimeoutError:
            if not kind.leaves:
                raise
            asked.verdict = "left"

    async def read(self, reply: aiohttp.ClientResponse, kind: Kind) -> bytes:
        """Read a stream to its end, slowly where the client is of that kind."""
        pieces = []
        async for piece in reply.content.iter_chunked(1 << 16):
            pieces.append(piece)
            if kind.slow:
                await asyncio.sleep(0.05)
        return b"".join(pieces)


def _unkind(reply: aiohttp.ClientResponse) -> bool:
    """Whether a 429 does not say when to come back."""
    return reply.status == 429 and "Retry-After" not in reply.headers


def _last_wins(order: str) -> list[str]:
    """Keep the last value of each name."""
    return list({pair.partition("=")[0]: pair for pair in order.split()}.values())


def is_error(value: object) -> bool:
    """Whether this is an error object in OpenAI's form."""
    error = value.get("error") if isinstance(value, dict) else None
    shape = {"message", "type", "param", "code"}
    return isinstance(error, dict) and shape <= set(error) and isinstance(error["message"], str) and bool(error["type"])


def judge_body(asked: Asked, raw: bytes) -> None:
    """Judge a reply in one piece."""
    try:
        value = json.loads(raw)
    except ValueError:
        asked.verdict, asked.said = "wrong", f"no JSON: {raw[:80]!r}"
        return
    if asked.status >= 400 and is_error(value):
        asked.verdict, asked.said = "error", str(value["error"]["code"])
    elif asked.status == 200 and str(value["choices"][0]["message"]["content"]).strip().endswith("omega"):
        asked.verdict, asked.tokens = "whole", int(value["usage"]["completion_tokens"])
    else:
        asked.verdict, asked.said = "wrong", f"{asked.status}: {raw[:160]!r}"


def judge_stream(asked: Asked, raw: bytes) -> None:
    """Judge a stream: whole with its reason, its usage and `[DONE]`, or ended by an error event."""
    events = [line[5:].strip() for line in raw.split(b"\n") if line.startswith(b"data:")]
    try:
        values = [json.loads(event) for event in events if event != b"[DONE]"]
    except ValueError:
        asked.verdict, asked.said = "wrong", "an event that is no JSON"
        return
    if values and is_error(values[-1]):
        asked.verdict, asked.said = "error", str(values[-1]["error"]["code"])
        return
    choices = [choice for value in values for choice in value.get("choices", [])]
    text = "".join(choice["delta"].get("content") or "" for choice in choices)
    reasons = [choice["finish_reason"] for choice in choices if choice.get("finish_reason")]
    usage = [value["usage"] for value in values if value.get("usage")]
    if text.strip().endswith("omega") and len(reasons) == 1 and usage and events[-1:] == [b"[DONE]"]:
        asked.verdict, asked.tokens = "whole", int(usage[-1]["completion_tokens"])
    else:
        asked.verdict = "wrong"
        asked.said = f"ends with {text[-20:]!r}, reasons {reasons}, {len(usage)} usages, last event {events[-1:]}"


def billed(log: Path) -> dict[str, int]:
    """Read from the gateway's log what it billed, by request id."""
    found: dict[str, int] = {}
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith("{") and '"request_id"' in line:
            record = json.loads(line)
            found[record["request_id"]] = int(record.get("tokens", 0))
    return found


def compare(asked: Sequence[Asked], bill: Mapping[str, int], counts: Mapping[str, list[int]]) -> list[str]:
    """Return every request whose bill is not what the upstream generated."""
    wrong = []
    for one in asked:
        _, generated, ended = counts.get(one.id, [0, 0, 0])
        mine = bill.get(one.id, one.tokens if one.tokens is not None else 0)
        whole = one.verdict == "whole" and ended > 0
        limit = 0 if whole else TOLERANCE
        if abs(mine - generated) > limit:
            wrong.append(f"{one.id} ({one.kind}, {one.verdict}): billed {mine}, generated {generated}")
        if whole and one.tokens != generated:
            wrong.append(f"{one.id} ({one.kind}): told its client {one.tokens}, generated {generated}")
    return wrong


async def counts_of(session: aiohttp.ClientSession, port: int) -> dict[str, object]:
    """Ask the upstream for its counts; the connection is its own."""
    async with session.get(f"http://127.0.0.1:{port}/counts", headers={"Connection": "close"}) as reply:
        return dict(await reply.json())


async def settled(session: aiohttp.ClientSession, port: int, seconds: float = 20.0) -> dict[str, object]:
    """Wait until the upstream is left alone, or until it is clear that it will not be; idle connections take 4 s."""
    limit = time.monotonic() + seconds
    while True:
        counts = await counts_of(session, port)
        if not (counts["connections"] or counts["generating"]) or time.monotonic() > limit:
            return counts
        await asyncio.sleep(0.25)


async def watch(gateway: Running, seen: Watch) -> None:
    """Note the gateway's memory each second."""
    began = time.monotonic()
    while True:
        seen.at.append(time.monotonic() - began)
        seen.megabytes.append(gateway.megabytes())
        await asyncio.sleep(1.0)


async def soak(options: argparse.Namespace, gateway: Running, port: int, source: int) -> dict[str, object]:
    """Run, and return what was found."""
    connector = aiohttp.TCPConnector(limit=0, force_close=False)
    seen = Watch()
    async with aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=None)) as session:
        run = Soak(f"http://127.0.0.1:{port}/v1/chat/completions", options)
        watching = asyncio.create_task(watch(gateway, seen))
        await run.run(session)
        watching.cancel()
        counts = await settled(session, source)
    ids = counts["ids"]
    assert isinstance(ids, dict)
    return judged(run.asked, seen, counts, compare(run.asked, billed(gateway.log), ids), gateway, options)


def judged(
    asked: Sequence[Asked],
    seen: Watch,
    counts: Mapping[str, object],
    misbilled: Sequence[str],
    gateway: Running,
    options: argparse.Namespace,
) -> dict[str, object]:
    """Return the checks and what they rest on."""
    table = {name: dict(Counter(one.verdict for one in asked if one.kind == name)) for name in KINDS}
    bad = [one for one in asked if one.verdict in ("wrong", "hung")]
    growth = seen.growth()
    # In the first minutes, memory that fills for good cannot be told from memory that leaks.
    flat = None if growth is None or options.minutes < 3 else growth <= FLAT
    checks = {
        "memory is flat": flat,
        "no upstream connection is open": counts["connections"] == 0 and counts["generating"] == 0,
        "every request ended well": not bad,
        "billed is generated": not misbilled,
    }
    return {
        "minutes": options.minutes,
        "streams": options.streams,
        "requests": len(asked),
        "checks": checks,
        "passed": all(value is not False for value in checks.values()),
        "verdicts": table,
        "memory_mb": {
            "growth": growth,
            "first": seen.megabytes[:1],
            "most": max(seen.megabytes),
            "last": seen.megabytes[-1:],
        },
        "upstream": {name: counts[name] for name in ("connections", "generating", "requests")},
        "sockets_at_the_end": gateway.sockets(),
        "not_ended_well": [f"{one.id} ({one.kind}): {one.verdict} {one.said}" for one in bad[:20]],
        "misbilled": list(misbilled[:20]) + ([f"and {len(misbilled) - 20} more"] if len(misbilled) > 20 else []),
    }


def show(found: Mapping[str, object]) -> None:
    """Print the result for people."""
    checks, verdicts = found["checks"], found["verdicts"]
    assert isinstance(checks, dict)
    assert isinstance(verdicts, dict)
    print(f"{found['requests']} requests, {found['streams']} at once, {found['minutes']} minutes")
    for name, counted in verdicts.items():
        print(f"  {name:18} {', '.join(f'{number} {what}' for what, number in sorted(counted.items())) or 'none'}")
    print(f"  memory {found['memory_mb']}, upstream {found['upstream']}")
    for name in ("not_ended_well", "misbilled"):
        lines = found[name]
        assert isinstance(lines, list)
        for line in lines:
            print(f"  ! {line}")
    for name, held in checks.items():
        print(f"{'too short to tell' if held is None else 'holds' if held else 'BROKEN':18} {name}")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--streams", type=int, default=256)
    parser.add_argument("--tick", type=int, default=100, help="ms between the upstream's tokens")
    parser.add_argument("--stall", type=int, default=15_000, help="ms of silence of a stalled upstream")
    parser.add_argument("--patience", type=float, default=180.0, help="seconds after which a request counts as hung")
    parser.add_argument("--method", default="auto")
    parser.add_argument("--cores", default="0,1", help="the gateway's, and that of upstream and clients")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.add_argument("--out", type=Path, default=Path("runs") / "soak")
    return parser.parse_args()


def main() -> int:
    """Soak a fresh gateway over a fresh upstream."""
    options = parse()
    options.out.mkdir(parents=True, exist_ok=True)
    folder = options.out.resolve()
    first, second = (int(core) for core in options.cores.split(","))
    port = free_port()
    with upstream(folder, [second]) as (_, source):
        os.sched_setaffinity(0, [second])
        command = [sys.executable, "-m", "ponder", "serve", "--port", str(port), "--method", options.method]
        command += ["--model", f"http://127.0.0.1:{source}/v1#bench"]
        with started(command, folder / "gateway.log", [first], dict(os.environ)) as gateway:
            wait_until_up(gateway, port, "/health/readiness", 60)
            found = asyncio.run(soak(options, gateway, port, source))
    (folder / "result.json").write_text(json.dumps(found, indent=1) + "\n")
    print(json.dumps(found, indent=1)) if options.json else show(found)
    return 0 if found["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
