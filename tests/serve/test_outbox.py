from __future__ import annotations

import asyncio

from support.server import until

from ponder.core.engine import Sampling
from ponder.core.problem import Problem, Prompt
from ponder.engines.echo import Echo
from ponder.serve.outbox import Outbox, Paced, Piece


async def test_pieces_gather_until_they_are_taken() -> None:
    box = Outbox()
    for text in ("a", "b", "c"):
        box.put(0, "think", text)
    box.put(0, "answer", "d")
    box.put(1, "answer", "e")
    box.put(1, "note", "f")
    box.put(1, "note", "g")
    assert box.take() == [
        Piece(0, "think", "abc"),
        Piece(0, "answer", "d"),
        Piece(1, "answer", "e"),
        Piece(1, "note", "f\ng"),
    ]
    assert box.take() == []


async def test_the_reader_waits_for_the_first_piece_or_the_end() -> None:
    box = Outbox()
    waiting = asyncio.create_task(box.wait())
    await asyncio.sleep(0)
    assert not waiting.done()
    box.put(0, "answer", "a")
    await waiting
    await box.wait()
    assert box.take() == [Piece(0, "answer", "a")]
    waiting = asyncio.create_task(box.wait())
    await asyncio.sleep(0)
    box.end()
    await waiting
    assert box.ended


async def test_the_end_comes_after_what_is_still_here() -> None:
    box = Outbox()
    box.put(0, "answer", "a")
    box.end()
    assert not box.ended
    box.take()
    assert box.ended


async def test_a_full_box_holds_its_engines_until_it_is_taken() -> None:
    box, engine = Outbox(room=20), Echo("word " * 50)
    read: list[str] = []

    async def produce() -> None:
        async with Paced(engine, box).stream(Prompt.of(Problem.of("?")), Sampling()) as chunks:
            async for chunk in chunks:
                read.append(chunk.text)
                box.put(0, "answer", chunk.text)

    task = asyncio.create_task(produce())
    await until(lambda: box.full)
    for _ in range(50):
        await asyncio.sleep(0)
    assert engine.generated <= 6
    while not task.done():
        box.take()
        await asyncio.sleep(0)
    assert "".join(read) == "word " * 50


async def test_a_paced_engine_is_the_engine_within() -> None:
    engine = Echo()
    paced = Paced(engine, Outbox())
    assert (paced.name, paced.caps, paced.think) == (engine.name, engine.caps, engine.think)
