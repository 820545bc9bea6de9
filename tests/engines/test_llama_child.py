from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ponder.core.engine import Sampling
from ponder.core.errors import EngineError
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.llama import LlamaEngine

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASK = Prompt.of(Problem.of("hello"))
FOREVER = Sampling(max_tokens=4_000, seed=1, logit_bias=((2, -100.0), (295, -100.0)))


async def tokens(engine: LlamaEngine, sampling: Sampling) -> int:
    async with engine.stream(ASK, sampling) as chunks:
        return sum([chunk.tokens async for chunk in chunks])


async def test_a_killed_child_is_named_and_started_anew(tiny_path: Path) -> None:
    async with LlamaEngine(tiny_path, threads=1, slots=2, context=4096) as engine:
        run = Run(engine, sampling=FOREVER)

        async def killed() -> None:
            async with run.stream(ASK) as live:
                async for chunk in live:
                    if chunk.usage:
                        os.kill(engine.server.pid, signal.SIGKILL)

        with pytest.raises(EngineError, match=r"killed by SIGKILL.*started anew") as caught:
            await killed()
        assert caught.value.retry
        assert run.trace.calls[0].finish == "error"
        assert run.trace.tokens >= 1
        assert await tokens(engine, Sampling(max_tokens=3, seed=1)) == 3


async def test_the_child_goes_with_the_block(tiny_path: Path) -> None:
    async with LlamaEngine(tiny_path, threads=1, slots=1, context=64) as engine:
        pid = engine.server.pid
        folder = engine.server.folder
        assert folder is not None
        assert folder.is_dir()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()
    with pytest.raises(EngineError, match="closed"):
        await tokens(engine, Sampling())


SCRIPT = """
import asyncio, os, signal, sys
from ponder.engines import llama
from ponder.engines.llama import LlamaEngine
async def main():
    async with LlamaEngine(sys.argv[1], threads=1, slots=1, context=64) as engine:
        assert "xllamacpp" not in sys.modules
        print(engine.server.pid, engine.server.folder, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
asyncio.run(main())
"""


async def test_the_child_goes_when_its_parent_is_killed(tiny_path: Path) -> None:
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", SCRIPT, str(tiny_path)], stdout=subprocess.PIPE, text=True, check=False
    )
    assert done.returncode == -signal.SIGKILL
    pid, folder = done.stdout.split()
    for _ in range(500):
        if not left(pid, folder):
            break
        await asyncio.sleep(0.02)
    assert not left(pid, folder)


def left(pid: str, folder: str) -> list[Path]:
    return [path for path in (Path(f"/proc/{pid}"), Path(folder)) if path.exists()]


FORKS = """
import asyncio, os, sys, time
from ponder.engines.llama import LlamaEngine
async def main():
    async with LlamaEngine(sys.argv[1], threads=1, slots=1, context=64) as engine:
        fork = os.fork()
        if not fork:
            time.sleep(60)
    print(engine.server.exit_code)
    os.kill(fork, 9)
asyncio.run(main())
"""


async def test_a_process_that_we_forked_does_not_keep_the_child(tiny_path: Path) -> None:
    """It holds the other end of the child's pipe, so that the pipe does not close when we leave."""
    command = [sys.executable, "-W", "ignore", "-c", FORKS, str(tiny_path)]
    done = await asyncio.to_thread(subprocess.run, command, stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "0\n"


async def test_a_cancelled_start_leaves_nothing(tiny_path: Path) -> None:
    engine = LlamaEngine(tiny_path, threads=1, slots=1, context=64)
    start = asyncio.create_task(engine.__aenter__())
    while not engine.server.alive and not start.done():  # noqa: ASYNC110 (a process that begins tells nobody)
        await asyncio.sleep(0)
    start.cancel()
    with pytest.raises(asyncio.CancelledError):
        await start
    assert not engine.server.alive
    assert engine.server.folder is None
