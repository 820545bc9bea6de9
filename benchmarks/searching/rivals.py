"""MCTS by ponder, llm-reasoners and optillm on one vLLM server, ponder's with as many tokens as each of them took."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import aiohttp
from serving.counters import Counters
from serving.peers import PEERS, Peer, Place, install, interpreter, surroundings
from serving.process import free_port, started, wait_until_up
from voting.live import Row, timed

from ponder.core.engine import Engine, Sampling
from ponder.core.judge import Item, Task
from ponder.core.problem import Problem
from ponder.methods.search.mcts import Mcts

HERE = Path(__file__).resolve().parent
REASONERS = Peer(
    "llm_reasoners",
    "llm-reasoners 1.0.2, its MCTS with its defaults",
    ("llm-reasoners==1.0.2", "torch==2.13.0"),
    lock=HERE / "llm-reasoners-requirements.txt",
)


def _mcts(place: Place) -> list[str]:
    options = ["--base-url", place.upstream, "--approach", "mcts", "--log", "error"]
    return [place.program("optillm"), "--port", str(place.port), *options]


OPTILLM = replace(PEERS["optillm"], about="optillm 0.4.0, its mcts with its defaults", command=_mcts)
ABOUT = {"llm_reasoners": REASONERS.about, "optillm": OPTILLM.about}
"""What ponder is compared with."""
MANY = 10_000
"""More simulations than any budget pays for."""

Ask = Callable[[Problem], Awaitable[str]]


@dataclass(frozen=True)
class Server:
    """A vLLM server by its address and the name of its model."""

    url: str
    model: str
    client: aiohttp.ClientSession

    @property
    def counters(self) -> Counters:
        """What it counts."""
        return Counters(self.url, self.client)


@asynccontextmanager
async def _reasoners(server: Server, folder: Path, options: argparse.Namespace) -> AsyncIterator[Ask]:
    """Run the library in a process of its environment."""
    shape = (options.delimiter, options.width, options.iterations, options.step, options.depth, options.temperature)
    words = [server.url, server.model, *map(str, shape)]
    command = [str(interpreter(REASONERS)), str(HERE / "llm_reasoners_mcts.py"), *words]
    with (folder / "llm_reasoners.txt").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            env=surroundings(REASONERS, folder),
            limit=1 << 24,
        )
        lines_in, lines_out = child.stdin, child.stdout
        assert lines_in is not None
        assert lines_out is not None

        async def ask(problem: Problem) -> str:
            lines_in.write(json.dumps(_told(problem)).encode() + b"\n")
            line = await lines_out.readline()
            if not line:
                raise SystemExit(f"llm-reasoners ended; {folder / 'llm_reasoners.txt'} says why")
            return str(json.loads(line)["text"])

        try:
            yield ask
        finally:
            lines_in.close()
            await child.wait()


@asynccontextmanager
async def _optillm(server: Server, folder: Path, options: argparse.Namespace) -> AsyncIterator[Ask]:
    """Run its gateway, and ask it as its users do."""
    place = Place(interpreter(OPTILLM), free_port(), server.url, folder)

    async def ask(problem: Problem) -> str:
        body = {"model": server.model, "messages": _told(problem), "temperature": options.temperature}
        url = f"http://127.0.0.1:{place.port}/v1/chat/completions"
        async with server.client.post(url, json={**body, "max_tokens": options.most}) as answered:
            reply = await answered.json()
        if "choices" not in reply:
            raise SystemExit(f"optillm answers {reply}; {folder / 'optillm.txt'} may say why")
        return reply["choices"][0]["message"]["content"] or ""

    command = _mcts(place)
    with started(command, folder / "optillm.txt", options.cores, surroundings(OPTILLM, folder)) as running:
        await asyncio.to_thread(wait_until_up, running, place.port, OPTILLM.ready, OPTILLM.patience)
        yield ask


def _told(problem: Problem) -> list[dict[str, str]]:
    """Return messages as everybody's client takes them."""
    return [{"role": message.role, "content": message.text} for message in problem.messages]


@asynccontextmanager
async def searches(
    engine: Engine, spec: str, task: Task, folder: Path, options: argparse.Namespace
) -> AsyncIterator[Callable[[Item, str, int], Awaitable[Row]]]:
    """Yield what asks one peer a question, then ponder until it has spent as many tokens, and judges both."""
    for peer in (REASONERS, OPTILLM):
        install(peer)
    url, _, model = spec.partition("#")
    async with AsyncExitStack() as stack:
        waits = aiohttp.ClientTimeout(total=None)
        server = Server(url, model, await stack.enter_async_context(aiohttp.ClientSession(timeout=waits)))
        peers = {
            "llm_reasoners": await stack.enter_async_context(_reasoners(server, folder, options)),
            "optillm": await stack.enter_async_context(_optillm(server, folder, options)),
        }

        async def judged(item: Item, ask: Callable[[], Awaitable[str]]) -> Row:
            before, clock = await server.counters.read(), time.perf_counter()
            text = await ask()
            seconds = time.perf_counter() - clock
            after = await server.counters.read()
            assert item.reference is not None
            verdict = task.verifier(text, item.reference)
            counted: Row = {name: after[name] - before[name] for name in before}
            return {"seconds": seconds, **counted, "correct": bool(verdict.correct), "answer": verdict.extracted}

        async def ours(problem: Problem, budget: int, turn: int) -> str:
            shape = {"width": options.width, "step": options.step, "depth": options.depth}
            method = Mcts(simulations=MANY, parallel=options.parallel, delimiter=options.delimiter, cot=False, **shape)
            sampling = Sampling(max_tokens=options.most, temperature=options.temperature)
            taken = await timed(method, problem, engine, sampling, turn, task, budget)
            return taken.solution.answer

        async def ask(item: Item, peer: str, turn: int) -> Row:
            theirs = await judged(item, partial(peers[peer], item.problem))
            # The method keeps what one more whole reply could take, so that this much would stay unspent.
            budget = int(str(theirs["generation_tokens"])) + options.most
            return {"theirs": theirs, "ponder": await judged(item, partial(ours, item.problem, budget, turn))}

        yield ask
