"""What every engine keeps to, whatever model is behind it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from engine_cases import ENGINES, Opened, params

from ponder.core.engine import Cap, Chunk, Sampling, Think
from ponder.core.errors import Unsupported
from ponder.core.problem import Message, Problem, Prompt
from ponder.core.run import Run
from ponder.text.think import split

ASK = Prompt((Message.of("user", "Tell me a long story about a fox and a bear."),))


@pytest.fixture(params=params(paced=False))
async def opened(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    """Every engine, one after the other."""
    async with ENGINES[request.param](tmp_path) as case:
        yield case


@pytest.fixture(params=params(paced=True))
async def paced(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Opened]:
    """Every engine with a model that takes its time: what leaving it saves can be told."""
    async with ENGINES[request.param](tmp_path) as case:
        yield case


async def read(case: Opened, prompt: Prompt = ASK, sampling: Sampling | None = None) -> list[Chunk]:
    sampling = sampling or Sampling(max_tokens=40, temperature=0, seed=1, branch_seed=1)
    async with case.engine.stream(prompt, sampling) as chunks:
        return [chunk async for chunk in chunks]


def text(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


async def settled(case: Opened) -> int:
    """Return the model's counter once it has stopped moving."""
    before = -1
    while (now := await case.generated()) != before:
        before = now
        await asyncio.sleep(0.05)
    return now


async def test_the_last_chunk_and_no_other_says_how_the_reply_ended(opened: Opened) -> None:
    chunks = await read(opened)
    assert [bool(chunk.finish) for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].finish in ("stop", "length")


async def test_no_more_than_max_tokens_are_generated(opened: Opened) -> None:
    before = await settled(opened)
    chunks = await read(opened, sampling=Sampling(max_tokens=7, temperature=0))
    assert sum(chunk.tokens for chunk in chunks) <= 7
    assert await settled(opened) - before <= 7
    assert chunks[-1].finish == "length" or opened.reply is None


async def test_the_texts_join_to_the_reply(opened: Opened) -> None:
    chunks = await read(opened)
    assert text(chunks)
    if opened.reply is not None:
        assert opened.reply.startswith(text(chunks).strip())


async def test_channels_are_those_of_the_whole_text(opened: Opened) -> None:
    chunks = await read(opened, sampling=Sampling(max_tokens=250 if opened.reply else 30, temperature=0))
    # An engine that cannot tell how its model thinks still knows the usual marks when it meets them.
    think = opened.engine.think or Think("<think>", "</think>")
    thinking, answer = split(text(chunks), think.open, think.close, think.opened)
    for channel, whole in (("think", thinking), ("answer", answer)):
        assert text([chunk for chunk in chunks if chunk.channel == channel and not chunk.markup]) == whole


async def test_counts_are_those_of_the_model(opened: Opened) -> None:
    before = await settled(opened)
    chunks = await read(opened)
    made = await settled(opened) - before
    assert sum(chunk.tokens for chunk in chunks) == made
    usage = [chunk.usage for chunk in chunks if chunk.usage is not None][-1]
    assert usage.generated == made
    assert usage.prompt is not None
    assert usage.prompt > 0


async def test_stop_strings_end_the_reply_and_are_no_part_of_it(opened: Opened) -> None:
    whole = text(await read(opened))
    words = whole.split()
    stop = words[len(words) // 2]
    chunks = await read(opened, sampling=Sampling(max_tokens=40, temperature=0, seed=1, branch_seed=1, stop=(stop,)))
    assert text(chunks).strip() == whole[: whole.index(stop)].strip()
    assert chunks[-1].finish == "stop"
    assert chunks[-1].matched_stop == stop or Cap.TOKEN_IDS not in opened.engine.caps, "a plain server cannot say"


async def test_leaving_stops_the_model(paced: Opened) -> None:
    before = await settled(paced)
    seen = 0
    async with paced.engine.stream(ASK, Sampling(max_tokens=400, temperature=0)) as chunks:
        async for chunk in chunks:
            seen += chunk.tokens
            if seen >= 10:
                break
    assert 0 <= await settled(paced) - before - seen <= 2


async def test_leaving_eight_streams_stops_them_all(paced: Opened) -> None:
    before = await settled(paced)

    async def leave(after: int) -> int:
        seen = 0
        async with paced.engine.stream(ASK, Sampling(max_tokens=400, temperature=0)) as chunks:
            async for chunk in chunks:
                seen += chunk.tokens
                if seen >= after:
                    break
        return seen

    seen = await asyncio.gather(*(leave(after) for after in range(4, 20, 2)))
    assert 0 <= await settled(paced) - before - sum(seen) <= 2 * 8


async def test_cancelling_stops_the_model(paced: Opened) -> None:
    before = await settled(paced)
    run = Run(paced.engine, sampling=Sampling(max_tokens=400, temperature=0))
    arrived = asyncio.Event()

    async def follow() -> None:
        async with run.stream(ASK) as live:
            async for _ in live:
                if live.call.tokens >= 5:
                    arrived.set()

    task = asyncio.ensure_future(follow())
    await arrived.wait()
    task.cancel()
    await asyncio.wait([task])
    assert 0 <= await settled(paced) - before - run.trace.tokens <= 2
    assert run.trace.calls[0].finish == "left"


async def test_ids_spell_what_was_said_and_a_reply_goes_on_from_them(opened: Opened) -> None:
    if Cap.TOKEN_IDS not in opened.engine.caps:
        assert all(chunk.token_ids == () for chunk in await read(opened))
        return
    run = Run(opened.engine, sampling=Sampling(max_tokens=30, temperature=0))
    whole = await run.quiet(1).generate(ASK)
    first = await run.quiet(1).generate(ASK, max_tokens=11)
    second = await run.quiet(1).generate(ASK + first, max_tokens=19)
    assert len(second.token_ids) <= second.tokens
    # A letter that a limit cuts in two is left out and written again, so pieces of a real model may end a letter apart.
    both, ids = first.text + second.text, (*first.token_ids, *second.token_ids)
    if first.token_ids or opened.reply is not None:
        assert both.startswith(whole.text) or whole.text.startswith(both)
    if opened.reply is not None:
        assert both == whole.text
        assert len(second.token_ids) == second.tokens
    # Where an engine cannot spell a piece, as a server does that keeps the ids of a chat, the text is continued.
    if whole.token_ids and first.token_ids and second.token_ids:
        assert whole.token_ids[: len(ids)] == ids[: len(whole.token_ids)]


async def test_a_prefill_is_continued_and_not_repeated(opened: Opened) -> None:
    if Cap.PREFILL not in opened.engine.caps or opened.reply is None:
        assert text(await read(opened))
        return
    start = "<think>so we check it"
    chunks = await read(opened, ASK + start)
    assert opened.reply.startswith(start + text(chunks).rstrip())


async def test_forks_of_one_thought_run_side_by_side(opened: Opened) -> None:
    prompts = [ASK, ASK, Prompt.of(Problem.of("Why?")), ASK]
    one = [await read(opened, prompt, Sampling(max_tokens=8, temperature=0)) for prompt in prompts]
    assert all(chunks[-1].finish for chunks in one)
    together = await asyncio.gather(*(read(opened, p, Sampling(max_tokens=8, temperature=0)) for p in prompts))
    assert [chunks[-1].finish for chunks in together] == [chunks[-1].finish for chunks in one]
    if opened.reply is not None:
        assert [text(chunks) for chunks in together] == [text(chunks) for chunks in one]


async def test_tokens_are_forced_or_refused_and_never_left_out(opened: Opened) -> None:
    before = await settled(opened)
    sampling = Sampling(max_tokens=3, temperature=0, force=(40, 41))
    if Cap.FORCE not in opened.engine.caps:
        with pytest.raises(Unsupported):
            await read(opened, sampling=sampling)
        assert await settled(opened) == before
        return
    chunks = await read(opened, sampling=sampling)
    given = [chunk for chunk in chunks if chunk.forced]
    assert chunks[: len(given)] == given
    assert [token for chunk in given for token in chunk.token_ids] == [40, 41]
    assert sum(chunk.tokens for chunk in chunks) == await settled(opened) - before <= 3


async def test_certainty_is_reported_for_every_token_or_refused(opened: Opened) -> None:
    before = await settled(opened)
    sampling = Sampling(max_tokens=3, temperature=0, certainty=True)
    if Cap.FULL_LOGPROBS not in opened.engine.caps:
        with pytest.raises(Unsupported, match=r"whole vocabulary"):
            await read(opened, sampling=sampling)
        assert await settled(opened) == before
        return
    chunks = await read(opened, sampling=sampling)
    tokens = [token for chunk in chunks for token in chunk.logprobs]
    assert len(tokens) == sum(chunk.tokens for chunk in chunks)
    assert all(token.certainty is not None and token.certainty >= 0 and token.top == () for token in tokens)


async def test_an_engine_says_what_it_is(opened: Opened) -> None:
    assert opened.engine.name
    assert opened.engine.caps <= frozenset(Cap)
    assert bool(opened.engine.think) == bool(opened.engine.think.close)
