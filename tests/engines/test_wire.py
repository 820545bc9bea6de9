"""SGLang and Ollama, played from wire fixtures: how they are known, what they are asked, what their events mean."""

from __future__ import annotations

import json
import pickletools
from dataclasses import replace

import pytest
from support.played import Played, load

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import Unsupported
from ponder.core.problem import Message, Prompt, Thinking
from ponder.core.run import Run
from ponder.core.trace import Call
from ponder.engines.dialects import SGLang, dialect_named, sglang_processor
from ponder.engines.openai import OpenAIEngine

ASK = Prompt((Message.of("user", "2+2?"),))
BUDGET = replace(ASK, thinking=Thinking.budget(64))


async def asked(server: Played, prompt: Prompt = ASK) -> Call:
    async with OpenAIEngine(server.url) as engine:
        return await Run(engine).generate(prompt)


async def test_sglang_is_known_by_its_models_and_tells_its_length() -> None:
    async with Played(load("sglang")) as server, OpenAIEngine(server.url) as engine:
        assert (engine.dialect, engine.context_length) == ("sglang", 40960)
        assert Cap.THINKING in engine.caps
        assert Cap.PREFILL not in engine.caps


async def test_sglang_thinking_comes_in_a_field_and_is_counted_by_the_server() -> None:
    async with Played(load("sglang")) as server:
        call = await asked(server)
    assert (call.thinking, call.answer, call.finish) == ("two and two", "Four.", "stop")
    assert (call.think_tokens, call.answer_tokens, call.prompt_tokens, call.cached_tokens) == (4, 4, 14, 8)
    assert call.exact
    assert call.matched_stop is None
    body = server.body
    assert body["separate_reasoning"] is body["stream_reasoning"] is True
    assert body["stream_options"] == {"include_usage": True, "continuous_usage_stats": True}
    assert body["top_k"] == -1


async def test_a_strict_sglang_keeps_a_budget_by_its_number_alone() -> None:
    async with Played(load("sglang")) as server:
        await asked(server, BUDGET)
    assert server.body["custom_params"] == {"thinking_budget": 64}
    assert "custom_logit_processor" not in server.body
    assert server.body["chat_template_kwargs"] == {"enable_thinking": True, "thinking": True}


@pytest.mark.parametrize(
    ("parser", "name"),
    [
        ("qwen3", "Qwen3ThinkingBudgetLogitProcessor"),
        ("deepseek-r1", "DeepSeekR1ThinkingBudgetLogitProcessor"),
        ("glm45", "Glm4MoeThinkingBudgetLogitProcessor"),
    ],
)
async def test_an_sglang_with_processors_is_told_the_one_of_the_model(parser: str, name: str) -> None:
    async with Played(load("sglang")) as server:
        flags = {"enable_strict_thinking": False, "enable_custom_logit_processor": True, "reasoning_parser": parser}
        server.answers["GET /server_info"] |= flags
        await asked(server, BUDGET)
    assert server.body["custom_params"] == {"thinking_budget": 64}
    assert server.body["custom_logit_processor"] == sglang_processor(name)


@pytest.mark.parametrize(
    "flags",
    [
        {"enable_strict_thinking": False},
        {"enable_strict_thinking": True, "reasoning_parser": None},
        {"enable_strict_thinking": False, "enable_custom_logit_processor": True, "reasoning_parser": "kimi_k2"},
    ],
)
async def test_a_budget_that_sglang_would_drop_is_refused(flags: dict[str, object]) -> None:
    async with Played(load("sglang")) as server, OpenAIEngine(server.url) as before:
        assert before.dialect == "sglang"
        server.answers["GET /server_info"] |= flags
        with pytest.raises(Unsupported, match="--enable-strict-thinking"):
            await asked(server, BUDGET)
        assert server.bodies == []


async def test_an_older_sglang_tells_under_an_older_name() -> None:
    async with Played(load("sglang")) as server:
        server.answers["GET /get_server_info"] = server.answers.pop("GET /server_info")
        await asked(server, BUDGET)
    assert server.body["custom_params"] == {"thinking_budget": 64}


def test_the_processors_name_is_a_pickle_of_a_reference_and_of_nothing_else() -> None:
    data = bytes.fromhex(json.loads(sglang_processor("X"))["callable"])
    codes = [(code.name, value) for code, value, _ in pickletools.genops(data)]
    assert codes == [
        ("PROTO", 2),
        ("GLOBAL", "sglang.srt.sampling.custom_logit_processor X"),
        ("STOP", None),
    ]


def test_sglang_switches_thinking_under_both_names_and_speaks_of_effort() -> None:
    dialect = SGLang()
    assert dialect.thinking(Thinking.off()) == {"chat_template_kwargs": {"enable_thinking": False, "thinking": False}}
    assert dialect.thinking(Thinking.effort("high")) == {"reasoning_effort": "high"}
    assert dialect.thinking(None) == {}


async def test_ollama_is_known_by_its_version_and_its_model_by_its_abilities() -> None:
    async with Played(load("ollama")) as server, OpenAIEngine(server.url) as engine:
        assert (engine.dialect, engine.context_length) == ("ollama", None)
        assert {Cap.THINKING, Cap.TOOLS, Cap.LOGPROBS} <= engine.caps
        assert not {Cap.IMAGES, Cap.PREFILL, Cap.LOGIT_BIAS} & engine.caps
    async with Played(load("ollama")) as server:
        server.answers["GET /api/version"] = {"version": "0.11.4-rc1"}
        server.answers["POST /api/show"]["capabilities"] = ["completion", "vision"]
        async with OpenAIEngine(server.url) as engine:
            assert {Cap.IMAGES} == engine.caps


async def test_ollama_counts_at_the_end_and_not_by_channel() -> None:
    async with Played(load("ollama")) as server:
        call = await asked(server)
    assert (call.thinking, call.answer, call.finish) == ("two and two", "Four.", "stop")
    assert (call.tokens, call.prompt_tokens, call.exact) == (9, 15, True)
    assert call.think_tokens > call.answer_tokens > 0


@pytest.mark.parametrize(
    ("thinking", "said"),
    [
        (Thinking.off(), {"reasoning_effort": "none"}),
        (Thinking.on(), {}),
        (Thinking.effort("low"), {"reasoning_effort": "low"}),
    ],
)
async def test_ollama_is_asked_in_its_words(thinking: Thinking, said: dict[str, object]) -> None:
    async with Played(load("ollama")) as server:
        await asked(server, replace(ASK, thinking=thinking))
    assert {key: value for key, value in server.body.items() if "reason" in key or "think" in key} == said


async def test_what_ollama_would_drop_is_refused() -> None:
    ollama = dialect_named("ollama")
    with pytest.raises(Unsupported, match="no word for a thinking budget of 64"):
        ollama.thinking(Thinking.budget(64))
    with pytest.raises(Unsupported, match="top_k"):
        ollama.chat("m", ASK, Sampling(top_k=4))
    with pytest.raises(Unsupported, match="logit_bias"):
        ollama.chat("m", ASK, Sampling(logit_bias=((1, 1.0),)))


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("sglang", "reasoning_content"),
        ("ollama", "reasoning"),
        ("vllm", "reasoning"),
        ("llama.cpp", "reasoning_content"),
        ("deepseek", "reasoning_content"),
        ("openrouter", "reasoning"),
        ("plain", "reasoning_content"),
    ],
)
def test_the_thinking_of_earlier_turns_goes_back_under_each_servers_name(name: str, field: str) -> None:
    turn = replace(Message.of("assistant", "Four."), reasoning="two and two")
    sent = dialect_named(name).message(turn)
    assert sent == {"role": "assistant", "content": "Four.", field: "two and two"}
