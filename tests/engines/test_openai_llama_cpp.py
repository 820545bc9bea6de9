"""The engine against real llama.cpp servers over TCP: SmolLM2 on one thread, and tiny models that think."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.llama_http import llama_http, predicted, settled
from support.tiny_gguf import CHAT, OPENED, write_tiny

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import EngineError
from ponder.core.problem import Message, Prompt, Thinking
from ponder.core.run import Run
from ponder.engines.openai import OpenAIEngine

pytestmark = pytest.mark.asyncio(loop_scope="module")
ASK = Prompt((Message.of("user", "Name three colours."),))
GREEDY = Sampling(temperature=0, max_tokens=12)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(smollm_path: Path) -> AsyncIterator[str]:
    async with llama_http(smollm_path) as url:
        yield url


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def engine(address: str) -> AsyncIterator[OpenAIEngine]:
    async with OpenAIEngine(address) as opened:
        yield opened


@pytest.mark.model
async def test_what_it_is(engine: OpenAIEngine) -> None:
    assert engine.name.startswith("smollm2")
    assert (engine.dialect, engine.context_length, engine.think) == ("llama.cpp", 1024, Think())
    assert {Cap.PREFILL, Cap.TOKEN_IDS, Cap.LOGPROBS} <= engine.caps
    assert not {Cap.IMAGES, Cap.THINKING} & engine.caps


@pytest.mark.model
async def test_chat_and_raw_completion_agree(engine: OpenAIEngine) -> None:
    run = Run(engine, sampling=GREEDY)
    chat = await run.generate(ASK)
    assert (chat.finish, chat.tokens, chat.exact) == ("length", 12, True)
    head, blank, rest = chat.text.partition(" ")
    raw = await run.generate(ASK + head)
    assert raw.text.startswith(blank + rest[:1])
    assert raw.exact


@pytest.mark.model
async def test_a_reply_goes_on_from_its_ids(engine: OpenAIEngine) -> None:
    run = Run(engine, sampling=GREEDY)
    first = await run.generate(ASK + "The", max_tokens=8)
    assert len(first.token_ids) == first.tokens == 8
    prompt = ASK + "The" + first
    assert prompt.prefill_ids == ("The", *first.token_ids)
    second = await run.generate(prompt, max_tokens=4)
    # Eight ids more in the prompt, not a new encoding of their text, and nearly all of it from the cache.
    assert second.prompt_tokens == first.prompt_tokens + 8
    assert second.cached_tokens > 8
    again = await run.generate(ASK + ("The" + first.text), max_tokens=4)
    assert again.text[:3] == second.text[:3]


@pytest.mark.model
@pytest.mark.parametrize("prefill", ["", "One"])
async def test_the_bill_is_the_servers_own(engine: OpenAIEngine, address: str, prefill: str) -> None:
    before = await predicted(address)
    run = Run(engine, sampling=Sampling(max_tokens=12, temperature=0.7))
    async with asyncio.TaskGroup() as group:
        for branch in range(4):
            group.create_task(run.quiet(branch).generate(ASK + prefill, logprobs=2 * (branch % 2)))
    assert run.trace.tokens == await settled(address, before) - before
    assert run.trace.exact
    for call in run.trace.calls:
        assert len(call.logprobs) in (0, call.tokens, call.tokens - 1)


@pytest.mark.model
@pytest.mark.parametrize("prefill", ["", "One"])
async def test_leaving_stops_the_generation(engine: OpenAIEngine, address: str, prefill: str) -> None:
    overrun = []
    for _ in range(3):
        before, seen = await predicted(address), 0
        async with engine.stream(ASK + prefill, Sampling(max_tokens=600, logit_bias=((2, -100.0),))) as chunks:
            async for chunk in chunks:
                seen += chunk.tokens
                if seen >= 12:
                    break
        overrun.append(await settled(address, before) - before - seen)
    # On a busy machine we may read late; the best of three is what leaving itself costs.
    assert 0 <= min(overrun) <= 2


@pytest.mark.model
async def test_stop_strings_are_named(engine: OpenAIEngine) -> None:
    for prompt in (ASK, ASK + "The colours are red"):
        call = await Run(engine, sampling=GREEDY).generate(prompt, stop=("zzz", " "), max_tokens=40)
        assert (call.finish, call.matched_stop) == ("stop", " ")
        assert " " not in call.text


@pytest.mark.model
async def test_a_character_of_several_tokens_is_counted_in_full(engine: OpenAIEngine) -> None:
    question = Prompt((Message.of("user", "Repeat: 🦙🤖 漢字 é ÷"),))
    for prompt in (question, question + "🦙"):
        call = await Run(engine, sampling=GREEDY).generate(prompt)
        assert call.tokens <= 12
        assert not call.token_ids or len(call.token_ids) <= call.tokens


@pytest.mark.model
async def test_a_grammar_holds_a_chat_and_the_answer_behind_a_closed_thought(address: str) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "boolean"}}}
    asked = Prompt(ASK.messages, response_format=json.dumps(schema))
    async with OpenAIEngine(address, think=Think("<think>", "</think>")) as thinking:
        for prompt in (asked, asked + "<think>hm</think>"):
            call = await Run(thinking, sampling=GREEDY).generate(prompt)
            assert call.answer.strip() in ("true", "false")


@pytest.mark.model
async def test_a_prompt_that_is_too_long(engine: OpenAIEngine) -> None:
    long = Prompt((Message.of("user", "word " * 3000),))
    for prompt in (long, long + "x"):
        with pytest.raises(EngineError, match="context size") as caught:
            await Run(engine, sampling=GREEDY).generate(prompt)
        assert (caught.value.status, caught.value.retry) == (400, False)


@pytest.mark.model
async def test_fields_about_thinking_do_no_harm(engine: OpenAIEngine) -> None:
    for thinking in (Thinking.off(), Thinking.budget(5), Thinking.effort("low")):
        asked = Prompt(ASK.messages, thinking=thinking)
        for prompt in (asked, asked + "The"):
            assert (await Run(engine, sampling=GREEDY).generate(prompt)).text


@pytest.mark.model
async def test_a_server_that_is_killed(smollm_path: Path) -> None:
    async with llama_http(smollm_path, slots=1) as url:
        engine = await OpenAIEngine(url).__aenter__()
        stream = engine.stream(ASK, Sampling(max_tokens=600, logit_bias=((2, -100.0),)))
        chunks = await stream.__aenter__()
        await anext(chunks)
    with pytest.raises(EngineError) as caught:
        async for _ in chunks:
            pass
    assert caught.value.retry
    await stream.__aexit__(None, None, None)
    await engine.__aexit__(None, None, None)


async def test_a_real_template_that_opens_the_thought(tmp_path: Path) -> None:
    async with llama_http(write_tiny(tmp_path / "t.gguf", template=OPENED), 2, 256) as url, OpenAIEngine(url) as engine:
        assert engine.think == Think("<think>", "</think>", opened=True)
        assert Cap.THINKING in engine.caps
        run = Run(engine, sampling=GREEDY)
        for prompt in (ASK, ASK + "h"):
            call = await run.generate(prompt)
            assert (call.think_tokens, call.answer_tokens, call.exact) == (12, 0, True)
            assert call.thinking == call.text != ""
        closed = await run.generate(ASK + "h</think>")
        assert (closed.think_tokens, closed.answer_tokens) == (0, 12)
        assert await settled(url, 0) == run.trace.tokens == 36


async def test_a_model_that_wants_one_mark_of_beginning_gets_one(tmp_path: Path) -> None:
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": CHAT, "bos_token": "<s>"}))
    async with llama_http(write_tiny(tmp_path / "t.gguf"), 2, 256) as url:
        sizes = []
        for template in (None, tmp_path / "tokenizer_config.json"):
            async with OpenAIEngine(url, chat_template=template) as engine:
                sizes.append((await Run(engine, sampling=GREEDY).generate(ASK + "h")).prompt_tokens)
    assert sizes[0] == sizes[1] > 10
