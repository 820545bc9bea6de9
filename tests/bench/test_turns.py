"""Replies that take turns."""

from __future__ import annotations

import asyncio

from ponder.bench.turns import Turns
from ponder.core.engine import Chunk, Sampling
from ponder.core.problem import Problem, Prompt
from ponder.engines.along import Along, Thought

PROMPT = Prompt.of(Problem.of("q"))


async def test_open_replies_give_way_to_each_other_after_every_chunk() -> None:
    along = Along([Thought(tuple(Chunk(f"{name}{i} ") for i in range(3))) for name in "ab"])
    turns = Turns(along)
    assert (turns.name, turns.caps, turns.think) == (along.name, along.caps, along.think)
    read: list[str] = []

    async def one() -> None:
        async with turns.stream(PROMPT, Sampling(max_tokens=9)) as chunks:
            async for chunk in chunks:
                read.append(chunk.text)

    await asyncio.gather(one(), one())
    assert [text for text in read if text] == ["a0 ", "b0 ", "a1 ", "b1 ", "a2 ", "b2 "]
