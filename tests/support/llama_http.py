"""A real llama.cpp server on a TCP port of the loopback, as a user would start one; one thread, killed at the end."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

CHILD = """
import os, sys, xllamacpp
p = xllamacpp.CommonParams()
p.model.path, p.n_parallel, p.n_ctx, p.n_batch = sys.argv[1], int(sys.argv[2]), int(sys.argv[2]) * int(sys.argv[3]), 128
p.warmup, p.verbosity, p.ui = False, 0, False
p.cpuparams.n_threads = p.cpuparams_batch.n_threads = 1
p.endpoint_metrics = p.endpoint_props = True
server = xllamacpp.Server(p)
print(server.listening_address, flush=True)
sys.stdin.buffer.read()
os._exit(0)
"""


@asynccontextmanager
async def llama_http(model: Path, slots: int = 8, context: int = 1024) -> AsyncIterator[str]:
    """Yield the address of a server of its own, without `/v1`."""
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CHILD, str(model), str(slots), str(context), stdin=pipe, stdout=pipe
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(60):
            address = (await process.stdout.readline()).decode().strip()
        yield address
    finally:
        process.kill()
        # Both pipes are closed by this, too.
        await process.communicate()


async def predicted(address: str) -> int:
    """Return how many tokens the server itself has generated so far."""
    async with aiohttp.ClientSession() as session, session.get(f"{address}/metrics") as reply:
        found = re.search(r"^llamacpp:tokens_predicted_total (\d+)", await reply.text(), re.MULTILINE)
    assert found is not None
    return int(found[1])


async def settled(address: str, before: int) -> int:
    """Return the same count once it has moved on from `before` and rests: the server adds up when a slot is free."""
    counts = [before]
    while counts[-1] == before or len(counts) < 4 or len(set(counts[-3:])) > 1:
        await asyncio.sleep(0.1)
        counts.append(await predicted(address))
        assert len(counts) < 200, "the server counted nothing"
    return counts[-1]
