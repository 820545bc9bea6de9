"""The same vote by ponder, its_hub and optillm on one vLLM server, and the server's own counts of what they asked."""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
from serving.counters import Counters
from serving.peers import PEERS, Peer, Place, install, interpreter, surroundings
from serving.process import free_port, started, wait_until_up

from ponder.core.engine import Engine, Sampling
from ponder.core.judge import Item, Task
from ponder.core.problem import Problem
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.text.think import split
from voting.live import PLAIN, Row, in_turns, timed

HERE = Path(__file__).resolve().parent
ITS_HUB = Peer("its_hub", "its_hub 1.2.0, SelfConsistency over its own client", ("its-hub[lm]==1.2.0",))
COUNTS = ("generation_tokens", "prompt_tokens")
"""What vLLM counts; the prompt's tokens include those that it found in its cache."""


def _majority(place: Place) -> list[str]:
    options = ["--base-url", place.upstream, "--approach", "majority_voting", "--log", "error"]
    return [place.program("optillm"), "--port", str(place.port), *options]


OPTILLM = replace(PEERS["optillm"], about="optillm 0.4.0, its majority_voting plugin", command=_majority)
ABOUT = {
    "ponder": "`self_consistency`",
    "its_hub": ITS_HUB.about,
    "optillm": OPTILLM.about,
}
"""What is compared."""


@dataclass(frozen=True)
class Voted:
    """A winner's text without its thinking, and how many tokens its vote says that it took, where it says so."""

    text: str
    tokens: int | None


Vote = Callable[[Problem], Awaitable[Voted]]


@dataclass(frozen=True)
class Server:
    """A vLLM server by its address, the name of its model and a client."""

    url: str
    model: str
    client: aiohttp.ClientSession

    async def counts(self) -> dict[str, int]:
        """Return its counters of tokens."""
        found = await Counters(self.url, self.client).read()
        return {name: found[name] for name in COUNTS}


def _told(problem: Problem) -> list[dict[str, str]]:
    """Return messages as everybody's client takes them."""
    return [{"role": message.role, "content": message.text} for message in problem.messages]


def _answer(text: str) -> str:
    return split(text, "<think>", "</think>")[1]


def _ponder(engine: Engine, task: Task, options: argparse.Namespace) -> Vote:
    method = SelfConsistency(n=options.n, inner=PLAIN)
    sampling = Sampling(max_tokens=options.most, temperature=options.temperature)

    async def vote(problem: Problem) -> Voted:
        taken = await timed(method, problem, engine, sampling, options.seed, task)
        return Voted(_answer(taken.solution.answer), taken.trace.tokens)

    return vote


@asynccontextmanager
async def _its_hub(server: Server, folder: Path, options: argparse.Namespace) -> AsyncIterator[Vote]:
    """Run its library in a process of its environment."""
    limits = [str(value) for value in (options.n, options.most, options.temperature)]
    command = [str(interpreter(ITS_HUB)), str(HERE / "its_hub_votes.py"), server.url, server.model, *limits]
    env = surroundings(ITS_HUB, folder)
    with (folder / "its_hub.txt").open("wb") as log:
        child = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=log, env=env
        )
        lines_in, lines_out = child.stdin, child.stdout
        assert lines_in is not None
        assert lines_out is not None

        async def vote(problem: Problem) -> Voted:
            lines_in.write(json.dumps(_told(problem)).encode() + b"\n")
            line = await lines_out.readline()
            if not line:
                raise SystemExit(f"its_hub ended; {folder / 'its_hub.txt'} says why")
            reply = json.loads(line)
            return Voted(_answer(reply["text"] or ""), reply["tokens"])

        try:
            yield vote
        finally:
            lines_in.close()
            await child.wait()


@asynccontextmanager
async def _optillm(server: Server, folder: Path, options: argparse.Namespace) -> AsyncIterator[Vote]:
    """Run its gateway, and ask it as its users do."""
    place = Place(interpreter(OPTILLM), free_port(), server.url, folder)
    limits = {"k": options.n, "temperature": options.temperature, "max_tokens": options.most}

    async def vote(problem: Problem) -> Voted:
        body = {"model": server.model, "messages": _told(problem), **limits}
        async with server.client.post(f"http://127.0.0.1:{place.port}/v1/chat/completions", json=body) as answered:
            reply = await answered.json()
        if "choices" not in reply:
            raise SystemExit(f"optillm answers {reply}; {folder / 'optillm.txt'} may say why")
        return Voted(_answer(reply["choices"][0]["message"]["content"]), reply["usage"]["completion_tokens"])

    command = _majority(place)
    with started(command, folder / "optillm.txt", options.cores, surroundings(OPTILLM, folder)) as running:
        await asyncio.to_thread(wait_until_up, running, place.port, OPTILLM.ready, OPTILLM.patience)
        yield vote


@asynccontextmanager
async def votes(
    engine: Engine, spec: str, task: Task, folder: Path, options: argparse.Namespace
) -> AsyncIterator[Callable[[Item, int], Awaitable[Row]]]:
    """Yield what asks all three one question, in an order that changes with the turn, and judges what they say."""
    for peer in (ITS_HUB, OPTILLM):
        install(peer)
    url, _, model = spec.partition("#")
    async with AsyncExitStack() as stack:
        waits = aiohttp.ClientTimeout(total=None)
        server = Server(url, model, await stack.enter_async_context(aiohttp.ClientSession(timeout=waits)))
        await server.counts()
        arms: Mapping[str, Vote] = {
            "ponder": _ponder(engine, task, options),
            "its_hub": await stack.enter_async_context(_its_hub(server, folder, options)),
            "optillm": await stack.enter_async_context(_optillm(server, folder, options)),
        }
        for vote in arms.values():
            # The first call loads modules and opens connections.
            await vote(Problem.of("What is 1 + 1?"))

        async def one(vote: Vote, item: Item) -> Row:
            before, clock = await server.counts(), time.perf_counter()
            voted = await vote(item.problem)
            seconds = time.perf_counter() - clock
            after = await server.counts()
            assert item.reference is not None
            verdict = task.verifier(voted.text, item.reference)
            counted: Row = {name: after[name] - before[name] for name in COUNTS}
            right: Row = {"correct": bool(verdict.correct), "answer": verdict.extracted}
            return {"seconds": seconds, **counted, "told": voted.tokens, **right}

        async def ask(item: Item, turn: int) -> Row:
            return await in_turns({name: lambda vote=vote: one(vote, item) for name, vote in arms.items()}, turn)

        yield ask
