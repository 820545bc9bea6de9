from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from support.tiny_gguf import write_adapter

from ponder.core.engine import Sampling
from ponder.core.problem import Message, Prompt
from ponder.core.run import Call, Run
from ponder.engines.llama import LlamaEngine
from ponder.engines.llama_slots import common_prefix

pytestmark = pytest.mark.asyncio(loop_scope="session")

Scales = tuple[tuple[str, float], ...]
LETTERS = tuple((token, 40.0) for token in range(259, 294))
"""Lets the tiny model write only what its ids spell."""
MESSAGES = (Message.of("user", "hello"),)


def words(seed: int, count: int, low: int = 259, high: int = 293) -> tuple[int, ...]:
    return tuple(random.Random(seed).choices(range(low, high), k=count))


def written(ids: Sequence[int]) -> Prompt:
    return Prompt(MESSAGES, prefill="x", prefill_ids=tuple(ids))


def read_again(calls: Sequence[Call]) -> int:
    """How many prompt tokens the calls had to read."""
    return sum(call.prompt_tokens - call.cached_tokens for call in calls)


@given(st.lists(st.integers(0, 2)), st.lists(st.integers(0, 2)))
def check_common_prefix(a: list[int], b: list[int]) -> None:
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


async def test_common_prefix() -> None:
    check_common_prefix()
    assert common_prefix([1, 2, 3], [1, 2, 4]) == 2


async def eight_forks(engine: LlamaEngine, ids: tuple[int, ...]) -> int:
    """Return how many tokens eight forks of a prefix read, by the server's own count."""
    run = Run(engine, sampling=Sampling(max_tokens=4, temperature=0))
    trunk = await run.generate(written(ids))
    assert trunk.prompt_tokens > len(ids)
    before = await engine.server.metrics()
    forks = await asyncio.gather(*(run.generate(written((*ids, *words(i, 4))), max_tokens=2) for i in range(8)))
    after = await engine.server.metrics()
    assert after["prompt_tokens_total"] - before["prompt_tokens_total"] == read_again(forks)
    assert engine.reread == 0
    return read_again(forks)


async def test_eight_forks_of_a_thousand_tokens_read_a_tenth_of_it_in_all(tiny_path: Path) -> None:
    async with LlamaEngine(tiny_path, threads=1, slots=8, context=2048) as engine:
        assert await eight_forks(engine, words(1, 1_000)) <= 100


@pytest.mark.model
async def test_eight_forks_on_a_real_model(smollm: LlamaEngine) -> None:
    assert await eight_forks(smollm, words(1, 250, 1_000, 40_000)) <= 40


@pytest_asyncio.fixture(loop_scope="session")
async def engine(tiny_path: Path) -> AsyncIterator[LlamaEngine]:
    async with LlamaEngine(tiny_path, threads=1, slots=4, context=1024) as engine:
        yield engine


async def test_a_thought_cut_in_pieces_reads_one_token_a_piece(engine: LlamaEngine) -> None:
    run = Run(engine, sampling=Sampling(max_tokens=8, logit_bias=LETTERS))
    prompt = written(words(2, 200))
    first = await run.generate(prompt)
    assert first.cached_tokens == 0
    for _ in range(10):
        call = await run.generate(prompt)
        assert read_again([call]) <= 2
        prompt = prompt + call
    assert engine.reread == 0


async def test_pieces_of_four_thoughts_at_once_stay_apart(engine: LlamaEngine) -> None:
    run = Run(engine, sampling=Sampling(max_tokens=8))

    async def one(seed: int) -> int:
        prompt, read = written(words(seed, 150)), 0
        for _ in range(6):
            call = await run.quiet(seed).generate(prompt)
            read += read_again([call])
            prompt = written((*prompt.prefill_ids, *words(seed + 100, 5)))  # type: ignore[arg-type]
        return read

    reads = await asyncio.gather(*(one(seed) for seed in range(4)))
    assert all(read <= 180 + 6 * 8 for read in reads)
    assert engine.reread == 0


async def test_more_forks_than_slots_and_forks_that_come_late(engine: LlamaEngine) -> None:
    run = Run(engine, sampling=Sampling(max_tokens=3))
    trunk = words(4, 600)
    await run.generate(written(trunk))

    async def fork(number: int) -> Call:
        await asyncio.sleep(0.005 * (number % 5))
        return await run.quiet(number).generate(written((*trunk, *words(number + 50, 5))))

    forks = await asyncio.gather(*(fork(number) for number in range(12)))
    # The third and fourth came while the only slots with the trunk were busy, and found the copy.
    assert read_again(forks) <= 12 * 8
    assert engine.reread == 0


async def test_forks_of_two_trunks_at_once(engine: LlamaEngine) -> None:
    run = Run(engine, sampling=Sampling(max_tokens=2))
    trunks = [words(5, 300), words(6, 400)]
    for trunk in trunks:
        await run.generate(written(trunk))
    prompts = [written((*trunk, *words(number, 3))) for trunk in trunks for number in (7, 8)]
    calls = await asyncio.gather(*(run.quiet(number).generate(prompt) for number, prompt in enumerate(prompts)))
    assert read_again(calls) <= 4 * 6


async def test_a_fork_in_the_middle_and_back(engine: LlamaEngine) -> None:
    run = Run(engine, sampling=Sampling(max_tokens=2))
    trunk = words(9, 500)
    await run.generate(written(trunk))
    middle = await run.generate(written((*trunk[:300], *words(10, 4))))
    assert read_again([middle]) <= 6
    back = await run.generate(written(trunk))
    assert read_again([back]) <= 202


async def test_a_fork_says_what_the_trunk_would_have_said(engine: LlamaEngine) -> None:
    """A copied state is the state: greedy forks with one prompt agree with the call that read it all."""
    run = Run(engine, sampling=Sampling(max_tokens=12, temperature=0))
    prompt = written(words(11, 400))
    alone = await run.generate(prompt)
    forks = await asyncio.gather(*(run.quiet(number).generate(prompt) for number in range(4)))
    assert {call.text for call in forks} == {alone.text}


async def test_a_full_disk_costs_reading_and_no_reply(engine: LlamaEngine) -> None:
    run = Run(engine, sampling=Sampling(max_tokens=2))
    trunk = words(12, 300)
    await run.generate(written(trunk))
    assert engine.server.folder is not None
    for number in range(1, 9):  # Where a state would be saved there is a folder: saving fails.
        (engine.server.folder / f"{number}.bin").mkdir(exist_ok=True)
    calls = await asyncio.gather(*(run.quiet(i).generate(written((*trunk, *words(i, 3)))) for i in range(3)))
    assert [call.finish for call in calls] == ["length"] * 3
    assert engine.reread >= 2 * 250


async def test_a_prompt_that_was_left_half_read_is_known_as_half(engine: LlamaEngine) -> None:
    run = Run(engine, sampling=Sampling(max_tokens=1))
    prompt = written(words(30, 900))
    for pause in (0.004, 0.008, 0.02, 0.05):
        task = asyncio.create_task(run.generate(prompt))
        await asyncio.sleep(pause)
        task.cancel()
        await asyncio.wait([task])
    whole = await run.generate(prompt)
    assert engine.reread == 0
    assert read_again([await run.generate(prompt)]) == 1
    assert whole.finish == "length"


async def test_old_copies_are_removed(engine: LlamaEngine) -> None:
    run = Run(engine, sampling=Sampling(max_tokens=1))
    for seed in range(20, 28):
        trunk = words(seed, 100)
        await run.generate(written(trunk))
        await asyncio.gather(*(run.quiet(i).generate(written((*trunk, 280 + i))) for i in range(2)))
    assert engine.server.folder is not None
    assert 1 <= len(list(engine.server.folder.glob("*.bin"))) <= 5


async def test_a_call_cancelled_while_it_waits_takes_no_slot_along(engine: LlamaEngine) -> None:
    run = Run(engine, sampling=Sampling(max_tokens=2))
    trunk = words(13, 300)
    await run.generate(written(trunk))
    for pause in (0.0, 0.001, 0.004, 0.006):
        tasks = [asyncio.create_task(run.quiet(i).generate(written((*trunk, 270 + i)))) for i in range(8)]
        await asyncio.sleep(pause)
        for task in tasks[::2]:
            task.cancel()
        await asyncio.wait(tasks)
    calls = await asyncio.gather(*(run.quiet(i).generate(written((*trunk, 280 + i))) for i in range(4)))
    assert read_again(calls) <= 4 * 4


# Adapters.

LETTER = Sampling(max_tokens=1, temperature=0, logprobs=1, logit_bias=LETTERS)


@pytest_asyncio.fixture(loop_scope="session")
async def valves(tiny_path: Path, tmp_path: Path) -> AsyncIterator[LlamaEngine]:
    files = [(name, write_adapter(tmp_path / f"{name}.gguf", seed=seed)) for seed, name in enumerate("ab", 1)]
    async with LlamaEngine(tiny_path, threads=1, slots=8, context=1024, adapters=files) as engine:
        yield engine


@pytest.mark.parametrize("scales", [(), (("a", 1.0),), (("a", 1.0), ("b", 0.5))])
async def test_forks_with_adapters_read_their_prefix_once(valves: LlamaEngine, scales: Scales) -> None:
    """The server drops what a slot holds when its adapters change, and no slot begins with those of a call."""
    run = Run(valves, sampling=Sampling(max_tokens=2, temperature=0, adapters=scales))
    ids = words(1, 400)
    await run.generate(written(ids))
    before = await valves.server.metrics()
    forks = await asyncio.gather(*(run.generate(written((*ids, *words(i, 4)))) for i in range(8)))
    after = await valves.server.metrics()
    assert after["prompt_tokens_total"] - before["prompt_tokens_total"] == read_again(forks) <= 40
    assert after["tokens_predicted_total"] - before["tokens_predicted_total"] == sum(fork.tokens for fork in forks)
    assert valves.reread == 0


async def test_nothing_that_was_read_with_other_adapters_is_used(valves: LlamaEngine, tiny_path: Path) -> None:
    """Forks of one trunk under several adapters at once, in slots full of one another: each as if it were alone."""
    ids = words(1, 200)
    kinds: tuple[Scales, ...] = ((), (("a", 1.0),), (("b", 1.0),), (("a", 0.5), ("b", 0.5)))

    async def first(run: Run, tail: int) -> float:
        call = await run.generate(written((*ids, *words(tail, 4))))
        return call.logprobs[0].logprob

    runs = [Run(valves, sampling=replace(LETTER, adapters=kind)) for kind in kinds]
    alone = [await first(run, 0) for run in runs]
    assert len({round(value, 3) for value in alone}) == len(kinds)
    for tail in range(3):
        mixed = await asyncio.gather(*(first(run, tail) for run in (*runs, *runs)))
        assert mixed[:4] == pytest.approx(mixed[4:], abs=1e-2)
        async with LlamaEngine(tiny_path, threads=1, slots=1, context=1024) as plain:
            assert mixed[0] == pytest.approx(await first(Run(plain, sampling=runs[0].sampling), tail), abs=1e-2)
        if tail == 0:
            assert mixed[:4] == pytest.approx(alone, abs=1e-2)


async def test_a_call_that_is_left_early_leaves_no_false_note_of_its_adapters(valves: LlamaEngine) -> None:
    ids = words(2, 600)
    run = Run(valves, sampling=replace(LETTER, adapters=(("a", 1.0),)))
    chance = random.Random(5)
    for number in range(12):
        task = asyncio.create_task(run.generate(written((*words(number % 3, 300), *ids))))
        await asyncio.sleep(chance.random() * 0.02)
        task.cancel()
        await asyncio.wait([task])
    told = [(await run.generate(written(ids))).logprobs[0].logprob for _ in range(2)]
    forks = await asyncio.gather(*(run.generate(written(ids)) for _ in range(8)))
    assert [fork.logprobs[0].logprob for fork in forks] == pytest.approx([told[0]] * 8, abs=1e-2)
    assert read_again(forks) <= 16
