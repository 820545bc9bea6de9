"""LangChain: its OpenAI package shows no thinking but what stands in the text; its DeepSeek package shows all of it."""

from __future__ import annotations

from typing import Any

import pytest
from conftest import Gateway
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek
from langchain_openai import ChatOpenAI
from pydantic import BaseModel, SecretStr
from serving import ANSWER, THOUGHT, Upstream
from test_openai_scripted import CALL

ASKED = [HumanMessage("A crate holds 12 jars. How many jars are in 5 crates?")]


class Total(BaseModel):
    """How many jars there are."""

    jars: int


@tool
def weather(town: str) -> str:
    """Tell the weather of a town."""
    return f"rain in {town}"


def by_openai(gateway: Gateway, model: str = "scripted", **more: Any) -> ChatOpenAI:
    return ChatOpenAI(model=model, base_url=gateway.base, api_key=SecretStr(gateway.key), timeout=180, **more)


def by_deepseek(gateway: Gateway, model: str = "scripted", **more: Any) -> ChatDeepSeek:
    return ChatDeepSeek(model=model, api_base=gateway.base, api_key=SecretStr(gateway.key), timeout=180, **more)


def test_each_engine_answers(gateway: Gateway, model: str) -> None:
    reply = by_openai(gateway, model, max_tokens=24).invoke(ASKED)
    assert reply.content
    assert reply.usage_metadata is not None
    assert 0 < reply.usage_metadata["output_tokens"] <= 24
    streamed = "".join(str(chunk.content) for chunk in by_openai(gateway, model, max_tokens=24).stream(ASKED))
    assert streamed


def test_openai_shows_thinking_between_tags_alone(gateway: Gateway, upstream: Upstream) -> None:
    plain = by_openai(gateway).invoke(ASKED)
    assert plain.content == ANSWER
    assert THOUGHT not in str(plain.additional_kwargs)
    assert plain.usage_metadata is not None
    assert plain.usage_metadata["output_token_details"]["reasoning"] >= 4
    tagged = by_openai(gateway, extra_body={"ponder": {"reasoning_format": "think_tags"}})
    text = f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}"
    assert tagged.invoke(ASKED).content == text
    assert "".join(str(chunk.content) for chunk in tagged.stream(ASKED)) == text


def test_deepseek_shows_thinking(gateway: Gateway, upstream: Upstream) -> None:
    reply = by_deepseek(gateway).invoke(ASKED)
    assert reply.content == ANSWER
    assert reply.additional_kwargs["reasoning_content"] == THOUGHT
    chunks = list(by_deepseek(gateway).stream(ASKED))
    assert "".join(chunk.additional_kwargs.get("reasoning_content", "") for chunk in chunks) == THOUGHT
    assert "".join(str(chunk.content) for chunk in chunks) == ANSWER


@pytest.mark.parametrize("make", [by_openai, by_deepseek])
def test_tools_are_called_and_answered(gateway: Gateway, upstream: Upstream, make: Any) -> None:
    upstream.server.reply, upstream.server.tools = f"<think>{THOUGHT}</think>", (CALL,)
    chat = make(gateway).bind_tools([weather])
    reply = chat.invoke(ASKED)
    (call,) = reply.tool_calls
    assert (call["name"], call["args"], call["id"]) == ("weather", {"town": "Oslo"}, "call_1")
    upstream.server.reply, upstream.server.tools = ANSWER, ()
    said = ToolMessage(weather.invoke(call["args"]), tool_call_id=call["id"])
    assert chat.invoke([*ASKED, reply, said]).content == ANSWER
    turns = upstream.asked["messages"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool"]
    assert "reasoning" not in turns[1], "neither package sends the thinking of earlier turns back"


def test_thinking_of_earlier_turns_comes_back_between_tags(gateway: Gateway, upstream: Upstream) -> None:
    upstream.server.reply, upstream.server.tools = f"<think>{THOUGHT}</think>", (CALL,)
    chat = by_openai(gateway, extra_body={"ponder": {"reasoning_format": "think_tags"}}).bind_tools([weather])
    reply = chat.invoke(ASKED)
    said = ToolMessage("rain", tool_call_id="call_1")
    upstream.server.reply, upstream.server.tools = ANSWER, ()
    chat.invoke([*ASKED, reply, said])
    turn = upstream.asked["messages"][1]
    assert turn["reasoning"] == THOUGHT
    assert "<think>" not in str(turn["content"])


def test_a_structured_answer(gateway: Gateway, upstream: Upstream) -> None:
    upstream.server.reply = '{"jars": 60}'
    made = by_openai(gateway).with_structured_output(Total, method="json_schema").invoke(ASKED)
    assert made == Total(jars=60)
    assert upstream.asked["response_format"]["type"] == "json_schema"
