"""LiteLLM: under each of its providers that speak OpenAI's protocol, thinking arrives as `reasoning_content`, once."""

from __future__ import annotations

from typing import Any

import litellm
import pytest
from conftest import Gateway
from serving import ANSWER, QUESTION, THOUGHT, Upstream
from support.server import Fault
from test_openai_scripted import CALL, WEATHER

PROVIDERS = ("openai", "hosted_vllm", "deepseek")


def ask(gateway: Gateway, model: str, **more: Any) -> Any:
    asked: dict[str, Any] = {"messages": QUESTION, "timeout": 180, "num_retries": 0, "max_retries": 0, **more}
    return litellm.completion(model=model, api_base=gateway.base, api_key=gateway.key, **asked)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_thinking_once_under_its_one_name(gateway: Gateway, upstream: Upstream, provider: str) -> None:
    reply = ask(gateway, f"{provider}/scripted")
    message = reply.choices[0].message
    assert (message.content, message.reasoning_content) == (ANSWER, THOUGHT)
    assert reply.usage.completion_tokens_details.reasoning_tokens >= 4
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens


@pytest.mark.parametrize("provider", PROVIDERS)
def test_thinking_once_in_a_stream(gateway: Gateway, upstream: Upstream, provider: str) -> None:
    chunks = list(ask(gateway, f"{provider}/scripted", stream=True, stream_options={"include_usage": True}))
    deltas = [chunk.choices[0].delta for chunk in chunks if chunk.choices]
    assert "".join(getattr(delta, "reasoning_content", None) or "" for delta in deltas) == THOUGHT
    assert "".join(delta.content or "" for delta in deltas) == ANSWER
    assert [u for chunk in chunks if (u := getattr(chunk, "usage", None))][-1].completion_tokens > 4


def test_each_engine_answers(gateway: Gateway, model: str) -> None:
    reply = ask(gateway, f"openai/{model}", max_tokens=32, seed=3)
    assert reply.choices[0].message.content
    assert reply.choices[0].finish_reason in ("stop", "length")
    assert 0 < reply.usage.completion_tokens <= 32


def test_an_effort_goes_through(gateway: Gateway) -> None:
    reply = ask(gateway, "openai/echo", reasoning_effort="none", allowed_openai_params=["reasoning_effort"])
    assert getattr(reply.choices[0].message, "reasoning_content", None) is None
    assert reply.ponder["source"] == "reasoning_effort"


def test_tools(gateway: Gateway, upstream: Upstream) -> None:
    upstream.server.reply, upstream.server.tools = f"<think>{THOUGHT}</think>", (CALL,)
    reply = ask(gateway, "openai/scripted", tools=[WEATHER])
    (call,) = reply.choices[0].message.tool_calls
    assert (call.function.name, call.function.arguments) == (CALL["name"], CALL["arguments"])
    assert reply.choices[0].finish_reason == "tool_calls"


def test_errors_are_typed(gateway: Gateway, upstream: Upstream) -> None:
    with pytest.raises(litellm.NotFoundError):
        ask(gateway, "openai/nobody")
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(model="openai/echo", api_base=gateway.base, api_key="sk-wrong", messages=QUESTION)
    with pytest.raises(litellm.BadRequestError):
        ask(gateway, "openai/echo", extra_body={"ponder": {"nothing": 1}})
    upstream.fail(*[Fault("status", status=429, headers={"Retry-After": "1"})] * 2)
    with pytest.raises(litellm.RateLimitError):
        ask(gateway, "openai/scripted")
