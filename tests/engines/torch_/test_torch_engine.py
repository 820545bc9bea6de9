"""The engine as its users see it, on a tiny random model: the same tokens as `generate()`, whatever runs beside."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from tiny_llama import ask, go_on, ids_of, read, save_model, save_tokenizer, text_of, tokens_of

from ponder.core.engine import Cap, Chunk, Sampling, Think
from ponder.core.errors import DataError, EngineError, OptionError, Unsupported
from ponder.core.problem import Image, Message, Problem, Prompt, Thinking, Tool
from ponder.core.run import Run

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytestmark = pytest.mark.torch

from ponder.engines.torch import worker as worker_module  # noqa: E402
from ponder.engines.torch.engine import TorchEngine  # noqa: E402

GREEDY = Sampling(max_tokens=24, temperature=0)
WARM = Sampling(max_tokens=42, temperature=1.0, branch_seed=7)
QUESTIONS = ["What is 12 + 30?", "小明有三个苹果", "x", "Ein Zug fährt um sieben Uhr los. " * 5]
END = 1


@cache
def opened(folder: Path) -> tuple[torch.nn.Module, object]:
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model, transformers.AutoTokenizer.from_pretrained(folder)


def plain(folder: Path, question: str, new: int = 24) -> list[int]:
    """What transformers itself generates, greedily and alone."""
    model, tokenizer = opened(folder)
    turns = [{"role": "user", "content": question}]
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    out = model.generate(**ids, max_new_tokens=new, do_sample=False, pad_token_id=0)
    return [int(token) for token in out[0, ids["input_ids"].shape[1] :]]


@pytest.mark.parametrize("question", QUESTIONS)
async def test_greedy_tokens_are_those_of_generate(folder: Path, engine: TorchEngine, question: str) -> None:
    chunks = await read(engine, ask(question), GREEDY)
    expected = plain(folder, question)
    assert list(ids_of(chunks)) == [token for token in expected if token != END]
    assert tokens_of(chunks) == len(expected)


async def test_sixteen_at_once_of_mixed_lengths_equal_generate(folder: Path, engine: TorchEngine) -> None:
    questions = [question + " ?" * n for n in range(4) for question in QUESTIONS]
    replies = await asyncio.gather(*(read(engine, ask(question), GREEDY) for question in questions))
    for question, chunks in zip(questions, replies, strict=True):
        assert list(ids_of(chunks)) == [token for token in plain(folder, question) if token != END]


async def test_eight_at_once_equal_alone_also_when_tokens_are_drawn(folder: Path, engine: TorchEngine) -> None:
    calls = [(ask(f"question {n}" + "!" * n), replace(WARM, branch_seed=n)) for n in range(8)]
    together = await asyncio.gather(*(read(engine, *call) for call in calls))
    async with TorchEngine(folder, dtype="float32", threads=1, kept=0) as fresh:
        alone = [await read(fresh, *call) for call in calls]
    assert [ids_of(chunks) for chunks in together] == [ids_of(chunks) for chunks in alone]
    assert len({ids_of(chunks) for chunks in alone}) == 8


@pytest.mark.parametrize("temperature", [0.0, 0.8, 1.0])
async def test_a_thought_cut_into_pieces_of_seven_equals_the_uncut_one(
    folder: Path, engine: TorchEngine, temperature: float
) -> None:
    sampling = replace(WARM, temperature=temperature, logit_bias=((END, -math.inf),))
    async with TorchEngine(folder, dtype="float32", threads=1) as other:
        whole = await read(other, ask("12 + 30"), sampling)
    prompt, parts = ask("12 + 30"), []
    for _ in range(6):
        parts.append(await read(engine, prompt, replace(sampling, max_tokens=7)))
        prompt = go_on(prompt, parts[-1])
    assert sum((ids_of(part) for part in parts), ()) == ids_of(whole)
    assert "".join(text_of(part) for part in parts) == text_of(whole)
    assert [tokens_of(part) for part in parts] == [7] * 6


async def test_the_position_of_a_piece_counts_a_prefill_of_text(engine: TorchEngine) -> None:
    """Text put in by hand takes its place in the reply, so that what follows is drawn with other noise."""
    first = await read(engine, ask("x", "so "), WARM)
    same = await read(engine, ask("x", ids=("so ",)), WARM)
    assert ids_of(first) == ids_of(same)
    shifted = await read(engine, ask("x", "so so "), WARM)
    assert ids_of(first) != ids_of(shifted)


async def test_a_fork_reads_no_prefix_again(engine: TorchEngine) -> None:
    trunk = ask("a long question " * 60)
    said = await read(engine, trunk, replace(GREEDY, max_tokens=4))
    start = said[-1].usage
    assert start is not None
    assert start.prompt is not None
    assert start.prompt > 300
    assert start.cached == 0
    before = engine.positions
    assert before == start.prompt + 3
    forks = [replace(trunk, prefill=f"branch {n} is here ") for n in range(8)]
    replies = await asyncio.gather(*(read(engine, fork, replace(GREEDY, max_tokens=1)) for fork in forks))
    usages = [chunks[-1].usage for chunks in replies]
    suffixes = 0
    for usage in usages:
        assert usage is not None
        assert usage.prompt is not None
        assert usage.cached is not None
        assert usage.cached >= start.prompt - 1
        suffixes += usage.prompt - usage.cached
    assert engine.positions - before == suffixes
    assert suffixes <= 8 * 20


@pytest.mark.parametrize("warm", [True, False])
async def test_eight_forks_of_a_thousand_tokens_cost_those_and_their_suffixes(engine: TorchEngine, warm: bool) -> None:
    """Also when they are sent at once and nothing of them was read before."""
    trunk = replace(ask("x"), prefill="z", prefill_ids=(5,) * 990)
    forks = [replace(trunk, prefill_ids=(*trunk.prefill_ids, 10 + n, *range(50, 50 + n))) for n in range(8)]
    once = replace(GREEDY, max_tokens=1)
    if warm:
        await read(engine, trunk, once)
    replies = await asyncio.gather(*(read(engine, fork, once) for fork in forks))
    sizes = [chunks[-1].usage.prompt or 0 for chunks in replies if chunks[-1].usage]
    trunk_size = sizes[0] - 1
    assert trunk_size >= 1000
    assert engine.positions == trunk_size + sum(range(1, 9))
    assert [size - trunk_size for size in sizes] == list(range(1, 9))
    async with TorchEngine(engine._path, dtype="float32", threads=1, kept=0) as fresh:
        alone = [ids_of(await read(fresh, fork, once)) for fork in forks]
    assert [ids_of(chunks) for chunks in replies] == alone


async def test_a_fork_equals_a_fresh_prompt(folder: Path, engine: TorchEngine) -> None:
    trunk = ask("12 + 30 is what? " * 10)
    said = await read(engine, trunk, replace(WARM, max_tokens=12))
    forks = [replace(go_on(trunk, said), prefill_ids=(*go_on(trunk, said).prefill_ids, 40 + n)) for n in range(8)]
    together = await asyncio.gather(*(read(engine, fork, replace(WARM, branch_seed=n)) for n, fork in enumerate(forks)))
    async with TorchEngine(folder, dtype="float32", threads=1, kept=0) as fresh:
        alone = [await read(fresh, fork, replace(WARM, branch_seed=n)) for n, fork in enumerate(forks)]
    assert [ids_of(chunks) for chunks in together] == [ids_of(chunks) for chunks in alone]
    assert len({ids_of(chunks) for chunks in alone}) == 8


async def test_forks_that_start_together_read_their_prefix_once(engine: TorchEngine) -> None:
    prompt = ask("the same for all " * 40)
    runs = await asyncio.gather(*(read(engine, prompt, replace(WARM, max_tokens=1, branch_seed=n)) for n in range(8)))
    size = runs[0][-1].usage
    assert size is not None
    assert size.prompt is not None
    assert engine.positions == size.prompt + 7


async def test_a_running_stream_is_a_prefix_too(engine: TorchEngine) -> None:
    trunk = ask("12 + 30 is")
    async with engine.stream(trunk, replace(WARM, logit_bias=((END, -math.inf),))) as live:
        seen = [await anext(live) for _ in range(6)]
        probe = await read(engine, go_on(trunk, seen), replace(GREEDY, max_tokens=2))
        usage = probe[-1].usage
        assert usage is not None
        assert usage.prompt is not None
        assert usage.cached == usage.prompt - 1
        rest = [chunk async for chunk in live]
    assert tokens_of(seen) + tokens_of(rest) == WARM.max_tokens


async def test_the_bill_is_what_was_generated(engine: TorchEngine) -> None:
    run = Run(engine, sampling=replace(WARM, branch_seed=None))
    await asyncio.gather(*(run.quiet(n).generate(ask(f"bill {n}"), max_tokens=5 + n) for n in range(6)))
    assert run.trace.exact
    assert run.trace.tokens == engine.generated > 0
    assert all(call.tokens <= 5 + n for n, call in enumerate(sorted(run.trace.calls, key=lambda call: call.branch)))


@pytest.mark.parametrize("many", [1, 8])
@pytest.mark.parametrize("length", [0, 1, 5])
async def test_leaving_stops_within_two_tokens(engine: TorchEngine, many: int, length: int) -> None:
    async def leave(n: int) -> int:
        async with engine.stream(ask(f"leave {n}"), replace(WARM, max_tokens=1000, branch_seed=n)) as chunks:
            read_tokens = 0
            while read_tokens < length:
                read_tokens += (await anext(chunks)).tokens
        return read_tokens

    taken = sum(await asyncio.gather(*(leave(n) for n in range(many))))
    # A call that comes later finds every earlier one ended, so nothing is generated for those any more.
    after = await read(engine, ask("after"), replace(GREEDY, max_tokens=3))
    assert 0 <= engine.generated - tokens_of(after) - taken <= 2 * many


async def test_a_reader_that_does_not_read_is_not_run_ahead_of(engine: TorchEngine) -> None:
    async with engine.stream(ask("slow"), replace(WARM, max_tokens=1000)) as chunks:
        taken = (await anext(chunks)).tokens
        beside = await read(engine, ask("beside"), replace(GREEDY, max_tokens=20))
        assert engine.generated - taken - tokens_of(beside) <= 2
        rest = [await anext(chunks) for _ in range(5)]
    assert all(chunk.tokens for chunk in rest)


async def test_leaving_while_the_prompt_is_read(engine: TorchEngine) -> None:
    async with engine.stream(ask("long " * 400), WARM):
        pass
    after = await read(engine, ask("after"), replace(GREEDY, max_tokens=2))
    assert engine.generated - tokens_of(after) <= 2
    assert after[-1].finish == "length"


async def test_leaving_a_long_prompt_stops_within_a_piece_of_it(engine: TorchEngine) -> None:
    async with engine.stream(ask("x" * 1500), WARM):
        while not engine.positions:  # noqa: ASYNC110 (nothing tells when a piece is read)
            await asyncio.sleep(0)
    seen = engine.positions
    after = (await read(engine, ask("after"), replace(GREEDY, max_tokens=1)))[-1].usage
    assert after is not None
    assert engine.positions - (after.prompt or 0) <= seen + 2 * 256 < 1500
    assert engine.generated == 1


async def test_a_cancelled_stream_leaves_its_neighbours_alone(engine: TorchEngine) -> None:
    alone = await read(engine, ask("neighbour"), WARM)
    victim = asyncio.create_task(read(engine, ask("victim"), replace(WARM, max_tokens=1500)))
    neighbour = asyncio.create_task(read(engine, ask("neighbour"), WARM))
    await asyncio.sleep(0.05)
    victim.cancel()
    assert ids_of(await neighbour) == ids_of(alone)
    with pytest.raises(asyncio.CancelledError):
        await victim


async def test_streams_that_are_read_side_by_side_need_no_slot_each(folder: Path) -> None:
    """Whoever reads five streams a token at a time waits for all of them: those that rest make room for the others."""
    async with TorchEngine(folder, dtype="float32", threads=1, slots=2) as engine, AsyncExitStack() as stack:
        calls = [Sampling(max_tokens=9, temperature=1.5, seed=seed, logit_bias=((1, -1e9),)) for seed in range(5)]
        streams = [await stack.enter_async_context(engine.stream(ask("side"), call)) for call in calls]
        sides: list[list[Chunk]] = [[] for _ in streams]
        for _ in range(4):
            for stream, side in zip(streams, sides, strict=True):
                side.append(await anext(stream))
        alone = [await read(engine, ask("side"), replace(call, max_tokens=9)) for call in calls]
        for stream, side in zip(streams, sides, strict=True):
            side.extend([chunk async for chunk in stream])
    assert [ids_of(side) for side in sides] == [ids_of(one) for one in alone]


async def test_more_streams_than_slots_wait_their_turn(folder: Path) -> None:
    async with TorchEngine(folder, dtype="float32", threads=1, slots=2) as engine:
        replies = await asyncio.gather(*(read(engine, ask(f"turn {n}"), GREEDY) for n in range(6)))
    assert all(chunks[-1].finish in ("stop", "length") for chunks in replies)


async def test_the_loop_goes_on_while_the_model_computes(engine: TorchEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is held inside a step for as long as the loop needs for a thousand ticks."""
    entered, ticked = threading.Event(), threading.Event()
    decode = worker_module.Batch.decode

    def held(self: worker_module.Batch, rows: list[worker_module.Row]) -> list[list[object]]:
        entered.set()
        assert ticked.wait(60)
        return decode(self, rows)

    monkeypatch.setattr(worker_module.Batch, "decode", held)
    reply = asyncio.create_task(read(engine, ask("tick"), replace(GREEDY, max_tokens=2)))
    ticks = 0
    while ticks < 1000:
        await asyncio.sleep(0)
        ticks += entered.is_set()
    ticked.set()
    assert tokens_of(await reply) == 2


async def test_the_end_of_turn_is_one_token_without_text(engine: TorchEngine) -> None:
    (end,) = await read(engine, ask("stop now"), replace(GREEDY, logit_bias=((END, 1e4),)))
    assert (end.text, end.tokens, end.finish, end.token_ids) == ("", 1, "stop", ())
    assert end.usage is not None
    assert end.usage.generated == 1


async def test_the_first_chunk_tells_the_size_of_the_prompt(engine: TorchEngine) -> None:
    chunks = await read(engine, ask("size"), GREEDY)
    first, last = chunks[0].usage, chunks[-1].usage
    assert first is not None
    assert last is not None
    assert first.generated is None
    assert last == first._replace(generated=tokens_of(chunks))


async def test_a_stop_string_is_cut_off_and_named(folder: Path, engine: TorchEngine) -> None:
    whole = text_of(await read(engine, ask("12 + 30"), WARM))
    stop = whole[len(whole) // 2 :][:2]
    chunks = await read(engine, ask("12 + 30"), replace(WARM, stop=("never seen", stop)))
    assert text_of(chunks) == whole[: whole.index(stop)]
    assert (chunks[-1].finish, chunks[-1].matched_stop) == ("stop", stop)
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.generated == tokens_of(chunks)


async def test_thinking_is_told_from_the_answer(engine: TorchEngine) -> None:
    assert engine.think == Think("<think>", "</think>")
    tokenizer = transformers.AutoTokenizer.from_pretrained(engine._path)
    opening, closing = tokenizer.convert_tokens_to_ids(["<think>", "</think>"])
    no_marks = ((opening, -math.inf), (closing, -math.inf), (END, -math.inf))
    inside = await read(engine, ask("x", "<think>\n"), replace(WARM, logit_bias=no_marks))
    assert {chunk.channel for chunk in inside} == {"think"}
    behind = await read(engine, ask("x", "<think>\nhm</think>\n"), replace(WARM, logit_bias=no_marks))
    assert {chunk.channel for chunk in behind} == {"answer"}
    closes = ((closing, 1e4),)
    first = (await read(engine, ask("x", "<think>\nhm"), replace(GREEDY, max_tokens=1, logit_bias=closes)))[0]
    assert (first.text, first.channel, first.markup, first.token_ids) == ("</think>", "think", True, (closing,))


async def test_the_template_switch_turns_thinking_off(engine: TorchEngine) -> None:
    assert Cap.THINKING in engine.caps
    off = await read(engine, replace(ask("x"), thinking=Thinking.off()), GREEDY)
    on = await read(engine, replace(ask("x"), thinking=Thinking.on()), GREEDY)
    assert off[0].channel == "answer"
    assert off[-1].usage is not None
    assert on[-1].usage is not None
    assert (off[-1].usage.prompt or 0) > (on[-1].usage.prompt or 0)


async def test_logprobs_are_the_models_own_and_may_be_whole(folder: Path, engine: TorchEngine) -> None:
    biased = replace(WARM, max_tokens=3, logprobs=322, logit_bias=((40, 3.0), (END, -math.inf)), top_k=5)
    chunks = await read(engine, ask("p"), biased)
    probs = [one for chunk in chunks for one in chunk.logprobs]
    assert len(probs) == 3
    for one in probs:
        assert len(one.top) == 322
        assert math.isclose(math.fsum(math.exp(value) for _, value in one.top), 1.0, rel_tol=1e-5)
        assert [value for _, value in one.top] == sorted((value for _, value in one.top), reverse=True)
        assert one.logprob in [value for _, value in one.top]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    turns = [{"role": "user", "content": "p"}]
    text = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    ids = tokenizer(text, add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        own = torch.log_softmax(model(**ids).logits[0, -1], -1)
    assert math.isclose(probs[0].top[0][1], float(own.max()), abs_tol=1e-4)
    assert math.isclose(probs[0].logprob, float(own[ids_of(chunks)[0]]), abs_tol=1e-4)


async def test_a_bias_forbids_and_forces(engine: TorchEngine) -> None:
    forced = await read(engine, ask("b"), replace(WARM, max_tokens=3, logit_bias=((60, 1e4),)))
    assert ids_of(forced) == (60, 60, 60)
    greedy = ids_of(await read(engine, ask("b"), GREEDY))
    without = await read(engine, ask("b"), replace(GREEDY, logit_bias=((greedy[0], -math.inf),)))
    assert greedy[0] not in ids_of(without)


@pytest.mark.parametrize(
    ("prompt", "sampling", "said"),
    [
        (replace(ask("x"), tools=(Tool("f", "{}"),)), GREEDY, "tools"),
        (Prompt((Message("user", (Image("data:,"),)),)), GREEDY, "pictures"),
        (replace(ask("x"), response_format='{"type": "json_object"}'), GREEDY, "response format"),
        (replace(ask("x"), thinking=Thinking.budget(5)), GREEDY, "budget"),
    ],
)
async def test_what_it_cannot_do_is_said_before_the_first_token(
    engine: TorchEngine, prompt: Prompt, sampling: Sampling, said: str
) -> None:
    with pytest.raises(Unsupported, match=said):
        await read(engine, prompt, sampling)
    assert engine.generated == 0


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(max_tokens=0),
        Sampling(logit_bias=((322, 1.0),)),
        Sampling(logit_bias=((5, math.inf),)),
        Sampling(logit_bias=tuple((token, -math.inf) for token in range(322))),
        Sampling(hidden=(3,)),
        Sampling(hidden=(-4,)),
        Sampling(adapters=(("a", 1.0),)),
        Sampling(force=(322,)),
    ],
)
async def test_a_sampling_out_of_range_is_refused(engine: TorchEngine, sampling: Sampling) -> None:
    with pytest.raises(OptionError, match="out of range"):
        await read(engine, ask("x"), sampling)


async def test_a_prompt_beyond_the_context_is_refused_and_a_full_context_ends_the_reply(tmp_path: Path) -> None:
    save_model(tmp_path, context=64)
    save_tokenizer(tmp_path)
    async with TorchEngine(tmp_path, dtype="float32", threads=1) as engine:
        with pytest.raises(EngineError, match=r"takes \d+ tokens of a context of 64"):
            await read(engine, ask("word " * 100), GREEDY)
        chunks = await read(engine, ask("short"), Sampling(max_tokens=500, logit_bias=((END, -math.inf),)))
    usage = chunks[-1].usage
    assert usage is not None
    assert usage.prompt is not None
    assert chunks[-1].finish == "length"
    assert usage.prompt + tokens_of(chunks) == 64


async def test_a_bad_prefill_fails_its_own_stream_only(engine: TorchEngine) -> None:
    bad, good = await asyncio.gather(
        read(engine, ask("x", ids=(100000,)), GREEDY), read(engine, ask("x"), GREEDY), return_exceptions=True
    )
    assert isinstance(bad, OptionError)
    assert isinstance(good, list)


async def test_a_step_that_fails_is_told_and_the_engine_goes_on(
    engine: TorchEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = ids_of(await read(engine, ask("again"), GREEDY))
    with monkeypatch.context() as patch:
        patch.setattr(worker_module.Batch, "decode", lambda self, rows: torch.empty(3) @ torch.empty(4))
        with pytest.raises(EngineError, match="the model failed"):
            await read(engine, ask("again"), GREEDY)
    assert ids_of(await read(engine, ask("again"), GREEDY)) == expected


@pytest.mark.parametrize("temperature", [0.0, 1.0])
async def test_logits_that_are_no_numbers_draw_nothing(folder: Path, temperature: float) -> None:
    """Neither the first token of the vocabulary nor one behind its end."""
    async with TorchEngine(folder, dtype="float32", threads=1) as broken:
        assert broken._loaded is not None
        with torch.no_grad():
            broken._loaded.model.get_output_embeddings().weight[7] = math.nan
        with pytest.raises(EngineError, match=r"logits are no finite numbers; open it in another type"):
            await read(broken, ask("x"), replace(GREEDY, temperature=temperature))
        assert broken.generated == 0


async def test_closing_tells_those_who_still_read(folder: Path) -> None:
    engine = TorchEngine(folder, dtype="float32", threads=1)
    with pytest.raises(EngineError, match="not open"):
        await read(engine, ask("early"), GREEDY)
    async with engine:
        async with engine.stream(ask("late"), replace(WARM, max_tokens=1000)) as chunks:
            await anext(chunks)
            await engine.__aexit__(None, None, None)
            with pytest.raises(EngineError, match="closed"):
                [chunk async for chunk in chunks]
        with pytest.raises(EngineError, match="closed"):
            await read(engine, ask("later"), GREEDY)


async def test_a_run_goes_over_it_as_over_any_engine(engine: TorchEngine) -> None:
    run = Run(engine, sampling=replace(WARM, branch_seed=None, logit_bias=((END, -math.inf),)))
    prompt = Prompt.of(Problem.of("What is 2 + 3?"))
    call = await run.generate(prompt, max_tokens=9)
    assert call.finish == "length"
    assert call.tokens == 9
    assert call.engine == "torch:tiny-llama"
    further = await run.generate(prompt + call, max_tokens=3)
    assert further.cached_tokens > 0


@pytest.mark.parametrize("package", ["torch", "transformers", "safetensors"])
async def test_a_missing_package_says_what_to_install(
    folder: Path, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(OptionError, match=rf"needs the package {package}: pip install 'ponder\[torch\]'.*CPU build"):
        async with TorchEngine(folder):
            pass


async def test_being_cancelled_while_loading_leaves_no_thread_behind(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, go = threading.Event(), threading.Event()
    load = worker_module.load

    def slow(path: Path, dtype: str) -> worker_module.Loaded:
        entered.set()
        assert go.wait(60)
        return load(path, dtype)

    monkeypatch.setattr(worker_module, "load", slow)
    engine = TorchEngine(folder, dtype="float32", threads=1)
    opening = asyncio.create_task(engine.__aenter__())
    await asyncio.to_thread(entered.wait)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    go.set()
    assert engine._worker is not None
    await engine._worker.join()
    assert engine.generated == 0


async def test_the_options_are_checked(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="at least 1"):
        TorchEngine(tmp_path, slots=0)
    with pytest.raises(DataError, match="there is no folder"):
        async with TorchEngine(tmp_path / "nowhere"):
            pass
