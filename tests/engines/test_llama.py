from __future__ import annotations

import asyncio
import json
import math
import os
import random
from pathlib import Path

import pytest
from support.tiny_gguf import tokens, write_adapter

from ponder.core.engine import Cap, Chunk, Sampling, SamplingArgs
from ponder.core.errors import DataError, EngineError, OptionError
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines import llama
from ponder.engines.llama import LlamaEngine, physical_cores

pytestmark = pytest.mark.asyncio(loop_scope="session")

ASK = Prompt.of(Problem.of("hello"))
ENDS = ((2, -math.inf), (295, -math.inf))
"""Forbids the tiny model's end marks."""
EMOJI = "Hi 🦙🤖 é 漢字 end"


async def read(engine: LlamaEngine, prompt: Prompt, sampling: Sampling) -> list[Chunk]:
    async with engine.stream(prompt, sampling) as chunks:
        return [chunk async for chunk in chunks]


async def quiet(engine: LlamaEngine) -> dict[str, float]:
    """The server's counters, once nothing runs any more."""
    return await counters_when(engine, busy=False)


async def counters_when(engine: LlamaEngine, *, busy: bool) -> dict[str, float]:
    for _ in range(6_000):
        counters = await engine.server.metrics()
        if bool(counters["requests_processing"]) == busy:
            return counters
        await asyncio.sleep(0.01)
    raise AssertionError("the server never came to rest" if not busy else "the server never began")


async def generated(engine: LlamaEngine) -> int:
    return int((await quiet(engine))["tokens_predicted_total"])


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


# What comes back: counts, ids, ends.


@pytest.mark.parametrize("seed", range(6))
async def test_counts_are_the_servers_own(tiny: LlamaEngine, seed: int) -> None:
    """Random bytes: most characters take several tokens, some are never finished."""
    before = await generated(tiny)
    chunks = await read(tiny, ASK, Sampling(max_tokens=40 + seed, seed=seed, logprobs=1))
    usage = chunks[-1].usage
    assert usage is not None
    assert sum(chunk.tokens for chunk in chunks) == usage.generated == await generated(tiny) - before
    assert usage.prompt == 23
    assert all(chunk.exact for chunk in chunks)
    assert all(chunk.finish is None for chunk in chunks[:-1])
    if chunks[-1].finish == "length":
        assert usage.generated == 40 + seed


async def test_ids_spell_the_text_where_they_are_given(tiny: LlamaEngine) -> None:
    letters = tuple((token, 40.0) for token in range(259, 294))
    chunks = await read(tiny, ASK, Sampling(max_tokens=30, seed=1, logit_bias=letters))
    assert all(len(chunk.token_ids) == chunk.tokens for chunk in chunks[:-1])
    names = [name for name, _, _ in tokens()]
    ids = [token for chunk in chunks for token in chunk.token_ids]
    assert len(ids) == 30
    assert "".join(names[token] for token in ids).replace("▁", " ") == text_of(chunks)


@pytest.mark.model
async def test_a_character_of_several_tokens_has_a_count_and_no_ids(smollm: LlamaEngine) -> None:
    asked = {"type": "json_schema", "json_schema": {"schema": {"const": EMOJI}}}
    prompt = Prompt(ASK.messages, response_format=json.dumps(asked))
    chunks = await read(smollm, prompt, Sampling(max_tokens=60, temperature=0))
    assert text_of(chunks) == f'"{EMOJI}"'
    several = {chunk.text.strip(): chunk.tokens for chunk in chunks if chunk.text and not chunk.token_ids}
    assert several == {"🦙": 3, "🤖": 3, "漢": 3}
    assert chunks[-1].usage is not None
    assert sum(chunk.tokens for chunk in chunks) == chunks[-1].usage.generated


@pytest.mark.model
async def test_white_space_between_the_signs_of_a_format_is_not_the_models_to_choose(smollm: LlamaEngine) -> None:
    schema = {"type": "object", "properties": {"a": {"const": 1}, "b": {"const": 2}}, "required": ["a", "b"]}
    asked = {"type": "json_schema", "json_schema": {"schema": schema | {"additionalProperties": False}}}
    prompt = Prompt(ASK.messages, response_format=json.dumps(asked))
    for seed in range(3):
        chunks = await read(smollm, prompt, Sampling(max_tokens=60, temperature=2.0, seed=seed))
        assert text_of(chunks) == '{"a": 1, "b": 2}'


@pytest.mark.model
async def test_an_end_mark_is_counted_and_a_stop_string_too(smollm: LlamaEngine) -> None:
    greedy = Sampling(max_tokens=40, temperature=0)
    prompt = Prompt.of(Problem.of("What is 2+3?"))
    ended = await read(smollm, prompt, greedy)
    assert text_of(ended) == "2 + 3 = 5"
    assert (ended[-1].finish, ended[-1].tokens, ended[-1].text, ended[-1].token_ids) == ("stop", 1, "", ())
    assert ended[-1].usage is not None
    assert ended[-1].usage.generated == 8
    stopped = await read(smollm, prompt, Sampling(max_tokens=40, temperature=0, stop=("= 5",)))
    assert text_of(stopped) == "2 + 3 "
    assert (stopped[-1].finish, stopped[-1].matched_stop) == ("stop", "= 5")
    assert stopped[-1].usage is not None
    assert sum(chunk.tokens for chunk in stopped) == stopped[-1].usage.generated == 7


@pytest.mark.model
async def test_progress_of_a_long_prompt_is_not_taken_for_tokens(smollm: LlamaEngine) -> None:
    ids = await smollm.server.tokenize("one two three four " * 35, special=False)
    chunks = await read(
        smollm, Prompt(ASK.messages, prefill="x", prefill_ids=ids), Sampling(max_tokens=2, temperature=0)
    )
    assert sum(chunk.tokens for chunk in chunks) == 2
    assert chunks[0].usage is not None
    assert chunks[0].usage.prompt == chunks[-1].usage.prompt > 140  # type: ignore[union-attr]


async def test_a_full_context_ends_the_reply(tiny: LlamaEngine) -> None:
    forever = Sampling(max_tokens=10_000, seed=1, logit_bias=ENDS)
    replies = await asyncio.gather(*(read(tiny, ASK, forever) for _ in range(4)))
    assert [chunks[-1].finish for chunks in replies] == ["length"] * 4
    assert {sum(chunk.tokens for chunk in chunks) for chunks in replies} == {256 - 23}


async def test_the_longest_prompt_and_one_more(tiny: LlamaEngine) -> None:
    room = 256 - 23
    fits = Prompt(ASK.messages, prefill="x", prefill_ids=(280,) * (room - 1))
    assert sum(chunk.tokens for chunk in await read(tiny, fits, Sampling(max_tokens=5, seed=1))) == 1
    with pytest.raises(EngineError, match=r"256 tokens and the context holds 256.*--context") as caught:
        await read(tiny, Prompt(ASK.messages, prefill="x", prefill_ids=(280,) * room), Sampling(max_tokens=5))
    assert not caught.value.retry


# How tokens are drawn.


@pytest.mark.model
async def test_greedy_is_the_likeliest_token_and_repeats(smollm: LlamaEngine) -> None:
    prompt = Prompt.of(Problem.of("Name three colours."))
    first, second = [await read(smollm, prompt, Sampling(max_tokens=16, temperature=0, logprobs=3)) for _ in range(2)]
    assert text_of(first) == text_of(second)
    for chunk in first:
        for entry in chunk.logprobs:
            assert len(entry.top) == 3
            assert (entry.token, entry.logprob) == entry.top[0]
            assert entry.top[0][1] >= entry.top[1][1] >= entry.top[2][1]
            assert sum(math.exp(logprob) for _, logprob in entry.top) <= 1.001


async def test_seeds_decide(tiny: LlamaEngine) -> None:
    texts = [text_of(await read(tiny, ASK, Sampling(max_tokens=20, seed=seed))) for seed in (5, 5, 6)]
    assert texts[0] == texts[1] != texts[2]


async def test_top_k_of_one_and_min_p_of_one_are_greedy_and_plain_sampling_is_not(tiny: LlamaEngine) -> None:
    async def said(sampling: Sampling) -> str:
        return text_of(await read(tiny, ASK, sampling))

    greedy = await said(Sampling(max_tokens=20, temperature=0))
    assert await said(Sampling(max_tokens=20, temperature=2, top_k=1, seed=1)) == greedy
    assert await said(Sampling(max_tokens=20, temperature=0.5, min_p=1.0, seed=1)) == greedy
    assert await said(Sampling(max_tokens=20, temperature=1, seed=1)) != greedy


async def test_no_default_of_the_server_cuts_the_tail(tiny: LlamaEngine) -> None:
    """With top_k 40, top_p 0.95 and min_p 0.05, which llama.cpp takes if nothing is sent, rare tokens never come."""
    rare = 0
    for seed in range(40):
        chunks = await read(tiny, ASK, Sampling(max_tokens=1, temperature=5.0, seed=seed, logprobs=40))
        for entry in chunks[0].logprobs:
            rare += entry.logprob < entry.top[-1][1]
    assert rare >= 10


async def test_biases_forbid_and_force(tiny: LlamaEngine) -> None:
    forced = await read(tiny, ASK, Sampling(max_tokens=5, temperature=0, logit_bias=((289, 1000.0),)))
    assert text_of(forced) == "hello" * 5
    greedy = await read(tiny, ASK, Sampling(max_tokens=1, temperature=0, logit_bias=((289, 1000.0), (289, -math.inf))))
    assert 289 not in [token for chunk in greedy for token in chunk.token_ids]


async def test_bad_sampling_is_refused_before_the_engine(tiny: LlamaEngine) -> None:
    before = await generated(tiny)
    for bad in (Sampling(adapters=(("valve", 1.0),)), Sampling(max_tokens=0), Sampling(logit_bias=((9999, 1.0),))):
        with pytest.raises(OptionError):
            await read(tiny, ASK, bad)
    assert await generated(tiny) == before


# Leaving.


@pytest.mark.model
@pytest.mark.parametrize("count", [1, 5, 20])
async def test_leaving_alone_stops_within_two_tokens(smollm: LlamaEngine, count: int) -> None:
    before = await generated(smollm)
    billed = await leave_after(smollm, Prompt.of(Problem.of(f"Tell a story {count}")), count, seed=1)
    assert billed <= await generated(smollm) - before <= billed + 2


@pytest.mark.model
async def test_leaving_eight_stops_within_two_tokens_in_the_mean(smollm: LlamaEngine) -> None:
    before = await generated(smollm)
    prompts = [Prompt.of(Problem.of(f"Tell a story about {i} cats")) for i in range(8)]
    billed = sum(await asyncio.gather(*(leave_after(smollm, p, 4 + i, seed=i) for i, p in enumerate(prompts))))
    assert billed <= await generated(smollm) - before <= billed + 2 * 8


async def leave_after(engine: LlamaEngine, prompt: Prompt, count: int, seed: int) -> int:
    read = 0
    async with engine.stream(prompt, Sampling(max_tokens=300, seed=seed, logit_bias=((2, -100.0),))) as chunks:
        async for chunk in chunks:
            read += chunk.tokens
            if read >= count:
                break
    return read


@pytest.mark.model
async def test_leaving_while_the_prompt_is_read_stops_the_reading(smollm: LlamaEngine) -> None:
    ids = tuple(random.Random(1).choices(range(1000, 40_000), k=1_900))
    before = await quiet(smollm)
    task = asyncio.create_task(read(smollm, Prompt(ASK.messages, prefill="x", prefill_ids=ids), Sampling()))
    await counters_when(smollm, busy=True)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    after = await quiet(smollm)
    assert after["prompt_tokens_total"] - before["prompt_tokens_total"] < 1_000
    assert after["tokens_predicted_total"] == before["tokens_predicted_total"]


async def test_every_way_of_leaving_frees_the_slot(tiny: LlamaEngine) -> None:
    chance = random.Random(7)
    long = Sampling(max_tokens=200, seed=1, logit_bias=ENDS)

    async def one(number: int) -> None:
        if number % 3 == 0:
            await leave_after(tiny, ASK, chance.randint(1, 50), number)
        elif number % 3 == 1:
            with pytest.raises(ZeroDivisionError):
                async with tiny.stream(ASK, long):
                    raise ZeroDivisionError
        else:
            task = asyncio.create_task(read(tiny, ASK, long))
            await asyncio.sleep(chance.random() * 0.03)
            task.cancel()
            await asyncio.wait([task])

    await asyncio.gather(*(one(number) for number in range(24)))
    counters = await quiet(tiny)
    assert counters["requests_deferred"] == 0
    assert sum(chunk.tokens for chunk in await read(tiny, ASK, long)) == 200


async def test_never_more_streams_than_slots(tiny: LlamaEngine) -> None:
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            counters = await tiny.server.metrics()
            most = max(most, int(counters["requests_processing"] + counters["requests_deferred"]))
            await asyncio.sleep(0.002)

    watcher = asyncio.create_task(watch())
    sampling = Sampling(max_tokens=100, seed=1, logit_bias=ENDS)
    replies = await asyncio.gather(*(read(tiny, ASK, sampling) for _ in range(20)))
    watcher.cancel()
    assert {sum(chunk.tokens for chunk in chunks) for chunks in replies} == {100}
    assert 1 <= most <= 4


async def test_the_bill_is_the_servers_count_under_any_interleaving(tiny: LlamaEngine) -> None:
    before = await generated(tiny)
    run = Run(tiny, sampling=Sampling(max_tokens=30))
    chance = random.Random(3)

    async def one(view: Run) -> None:
        prompt = ASK
        for _ in range(3):
            await asyncio.sleep(chance.random() * 0.01)
            prompt = prompt + await view.generate(prompt, max_tokens=chance.randint(1, 30), stop=("a",))

    await asyncio.gather(*(one(run.quiet(branch)) for branch in range(9)))
    assert run.trace.tokens == await generated(tiny) - before
    assert run.trace.exact


# Adapters.


async def test_adapters_are_off_unless_named_and_scale_smoothly(
    tmp_path: Path, tiny_path: Path, tiny: LlamaEngine
) -> None:
    valve = write_adapter(tmp_path / "valve.gguf")
    async with LlamaEngine(tiny_path, threads=1, slots=2, context=256, adapters=[("valve", valve)]) as engine:
        assert Cap.ADAPTER in engine.caps

        async def first(engine: LlamaEngine, **over: object) -> float:
            args: SamplingArgs = {"max_tokens": 1, "temperature": 0, "logprobs": 1}
            chunks = await read(engine, ASK, Sampling(**{**args, **over}))  # type: ignore[arg-type]
            return chunks[0].logprobs[0].logprob

        base = await first(tiny)
        assert await first(engine) == pytest.approx(base, abs=1e-4)
        assert await first(engine, adapters=(("valve", 0.0),)) == pytest.approx(base, abs=1e-4)
        scaled = [await first(engine, adapters=(("valve", scale),)) for scale in (0.25, 0.5, 1.0)]
        assert len({round(value, 4) for value in [base, *scaled]}) == 4
        assert await first(engine) == pytest.approx(base, abs=1e-4)
        with pytest.raises(OptionError, match="valve"):
            await first(engine, adapters=(("volve", 1.0),))
    assert Cap.ADAPTER not in tiny.caps


async def test_a_missing_adapter_is_named(tmp_path: Path, tiny_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.gguf"):
        async with LlamaEngine(tiny_path, threads=1, adapters=[("gone", tmp_path / "gone.gguf")]):
            pass


async def test_two_adapters_of_one_name_are_refused(tiny_path: Path) -> None:
    with pytest.raises(OptionError, match="two adapters named 'valve'"):
        LlamaEngine(tiny_path, threads=1, adapters=[("valve", tiny_path), ("valve", tiny_path)])


async def test_cores_are_those_that_this_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= physical_cores() <= len(os.sched_getaffinity(0))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    pairs = {f"/sys/devices/system/cpu/cpu{i}/topology/thread_siblings_list": f"{i % 4},{i % 4 + 4}" for i in range(8)}
    for quota, cores in (("", 4), ("max 100000", 4), ("250000 100000", 3), ("5000 100000", 1)):
        files = {**pairs, "/sys/fs/cgroup/cpu.max": quota}
        monkeypatch.setattr(llama, "_read", files.get)
        assert physical_cores() == cores
