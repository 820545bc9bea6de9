"""openai-python before a scripted server: what goes upstream, what comes back, and what happens when that fails."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from conftest import Gateway
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel
from serving import ANSWER, QUESTION, THOUGHT, Upstream
from support.server import Fault

WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a town.",
        "parameters": {"type": "object", "properties": {"town": {"type": "string"}}, "required": ["town"]},
    },
}
CALL = {"id": "call_1", "name": "weather", "arguments": '{"town": "Oslo"}'}
SECOND = {"id": "call_2", "name": "weather", "arguments": '{"town": "Rome"}'}


@pytest.fixture
def client(gateway: Gateway, upstream: Upstream) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base, api_key=gateway.key, timeout=60, max_retries=0) as client:
        yield client


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < end, "what was waited for did not come about"
        time.sleep(0.01)


def test_thinking_comes_under_both_names(client: OpenAI) -> None:
    reply = client.chat.completions.create(model="scripted", messages=QUESTION)
    message: Any = reply.choices[0].message
    assert message.content == ANSWER
    assert message.reasoning_content == message.reasoning == THOUGHT
    assert reply.usage is not None
    assert reply.usage.completion_tokens_details is not None
    assert (reply.usage.completion_tokens_details.reasoning_tokens or 0) >= 4


@pytest.mark.parametrize(
    ("format", "names", "tagged"),
    [
        ("reasoning_content", {"reasoning_content"}, False),
        ("reasoning", {"reasoning"}, False),
        ("think_tags", set(), True),
        ("none", set(), False),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_thinking_in_the_form_that_is_asked_for(
    client: OpenAI, format: str, names: set[str], tagged: bool, stream: bool
) -> None:
    body: Any = {"extra_body": {"ponder": {"reasoning_format": format}}}
    reply: Any = client.chat.completions.create(model="scripted", messages=QUESTION, stream=stream, **body)
    parts = [c.choices[0].delta for c in reply] if stream else [reply.choices[0].message]
    text = "".join(part.content or "" for part in parts)
    extra = [part.model_extra or {} for part in parts]
    assert {name for more in extra for name in more if name.startswith("reasoning") and more[name]} == names
    for name in names:
        assert "".join(more.get(name) or "" for more in extra) == THOUGHT
    assert text == (f"<think>\n{THOUGHT}\n</think>\n\n{ANSWER}" if tagged else ANSWER)


def test_what_nobody_interprets_goes_upstream(client: OpenAI, upstream: Upstream, gateway: Gateway) -> None:
    client.chat.completions.create(
        model="scripted",
        messages=QUESTION,
        temperature=0.25,
        top_p=0.5,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        logit_bias={"17": -3},
        user="someone",
        metadata={"run": "7"},
        extra_body={"some_new_field": {"deep": [1]}},
    )
    asked = upstream.asked
    assert (asked["model"], asked["temperature"], asked["top_p"]) == ("toy", 0.25, 0.5)
    assert (asked["presence_penalty"], asked["frequency_penalty"], asked["user"]) == (0.5, -0.5, "someone")
    assert asked["metadata"] == {"run": "7"}
    assert asked["logit_bias"] == {"17": -3}
    assert asked["some_new_field"] == {"deep": [1]}
    assert all(gateway.key not in str(seen.headers) for seen in upstream.server.requests), "the client's key went on"


def test_a_picture_goes_upstream(client: OpenAI, upstream: Upstream) -> None:
    url = "data:image/png;base64," + base64.b64encode(b"\x89PNG....").decode()
    parts: Any = [{"type": "text", "text": "What is this?"}, {"type": "image_url", "image_url": {"url": url}}]
    reply = client.chat.completions.create(model="scripted", messages=[{"role": "user", "content": parts}])
    assert reply.choices[0].message.content == ANSWER
    assert url in json.dumps(upstream.asked["messages"])


def test_tools_are_called_and_answered(client: OpenAI, upstream: Upstream) -> None:
    upstream.server.reply, upstream.server.tools = f"<think>{THOUGHT}</think>", (CALL, SECOND)
    asked: Any = {"model": "scripted", "tools": [WEATHER], "tool_choice": "auto", "parallel_tool_calls": True}
    reply = client.chat.completions.create(messages=QUESTION, **asked)
    choice = reply.choices[0]
    assert choice.finish_reason == "tool_calls"
    assert [call.id for call in choice.message.tool_calls or []] == ["call_1", "call_2"]
    assert json.loads(choice.message.tool_calls[0].function.arguments) == {"town": "Oslo"}
    assert (upstream.asked["tools"], upstream.asked["tool_choice"]) == ([WEATHER], "auto")
    assert upstream.asked["parallel_tool_calls"] is True
    upstream.server.reply, upstream.server.tools = ANSWER, ()
    history: Any = [
        *QUESTION,
        choice.message,
        *({"role": "tool", "tool_call_id": call["id"], "content": "rain"} for call in (CALL, SECOND)),
    ]
    last = client.chat.completions.create(messages=history, **asked)
    assert (last.choices[0].finish_reason, last.choices[0].message.content) == ("stop", ANSWER)
    turn = upstream.asked["messages"][1]
    assert [call["id"] for call in turn["tool_calls"]] == ["call_1", "call_2"]
    assert turn["reasoning"] == THOUGHT, "the thinking of the earlier turn goes back under the server's own name"
    assert [m["tool_call_id"] for m in upstream.asked["messages"][2:]] == ["call_1", "call_2"]


def test_tools_in_a_stream(client: OpenAI, upstream: Upstream) -> None:
    upstream.server.reply, upstream.server.tools = f"<think>{THOUGHT}</think>", (CALL, SECOND)
    with client.chat.completions.stream(model="scripted", messages=QUESTION, tools=[WEATHER]) as stream:
        done = [event for event in stream if event.type == "tool_calls.function.arguments.done"]
        message = stream.get_final_completion().choices[0]
    assert [event.arguments for event in done] == [CALL["arguments"], SECOND["arguments"]]
    assert message.finish_reason == "tool_calls"
    assert [(c.id, c.function.name) for c in message.message.tool_calls or []] == [
        ("call_1", "weather"),
        ("call_2", "weather"),
    ]


def test_a_schema_goes_upstream_and_comes_back_parsed(client: OpenAI, upstream: Upstream) -> None:
    class Total(BaseModel):
        jars: int

    upstream.server.reply = f'<think>{THOUGHT}</think>{{"jars": 60}}'
    reply = client.chat.completions.parse(model="scripted:chain_of_draft", messages=QUESTION, response_format=Total)
    assert reply.choices[0].message.parsed == Total(jars=60)
    assert upstream.asked["response_format"]["json_schema"]["schema"]["required"] == ["jars"]
    assert "response_format" in (reply.model_extra or {})["ponder"]["passthrough"]


def test_a_client_repeats_what_was_refused(client: OpenAI, upstream: Upstream) -> None:
    busy = Fault("status", status=429, headers={"Retry-After": "1"})
    upstream.fail(busy, busy)
    with pytest.raises(openai.RateLimitError) as refused:
        client.chat.completions.create(model="scripted", messages=QUESTION)
    assert refused.value.response.headers["retry-after"] == "1"
    assert refused.value.response.headers["x-should-retry"] == "true"
    assert refused.value.code == "rate_limit_exceeded"
    upstream.fail(busy, busy)
    before = upstream.server.generations
    reply = client.with_options(max_retries=2).chat.completions.create(model="scripted", messages=QUESTION)
    assert reply.choices[0].message.content == ANSWER
    assert upstream.server.generations == before + 3


@pytest.mark.parametrize("status", [500, 503])
def test_a_client_repeats_what_failed(client: OpenAI, upstream: Upstream, status: int) -> None:
    upstream.fail(*[Fault("status", status=status)] * 2)
    reply = client.with_options(max_retries=2).chat.completions.create(model="scripted", messages=QUESTION)
    assert reply.choices[0].message.content == ANSWER
    upstream.fail(*[Fault("status", status=status)] * 2)
    with pytest.raises(openai.InternalServerError) as failed:
        client.chat.completions.create(model="scripted", messages=QUESTION, stream=True)
    assert failed.value.status_code == {500: 502, 503: 503}[status]
    assert failed.value.type == "server_error"


def test_a_client_does_not_repeat_what_is_wrong(client: OpenAI, upstream: Upstream) -> None:
    body = json.dumps({"error": {"message": "This model's maximum context length is 5 tokens.", "code": 400}})
    upstream.fail(*[Fault("status", status=400, body=body)] * 4)
    before = upstream.server.generations
    with pytest.raises(openai.BadRequestError) as wrong:
        client.with_options(max_retries=3).chat.completions.create(model="scripted", messages=QUESTION)
    assert wrong.value.code == "context_length_exceeded"
    assert upstream.server.generations == before + 1


def test_a_stream_that_breaks_ends_with_an_error(client: OpenAI, upstream: Upstream) -> None:
    upstream.fail(*[Fault("cut", at=7)] * 2)
    chunks: list[ChatCompletionChunk] = []
    stream = client.chat.completions.create(model="scripted", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIError) as broken:
        chunks.extend(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert said
    assert ANSWER.startswith(said)
    assert all(chunk.choices[0].finish_reason is None for chunk in chunks)
    assert broken.value.code == "upstream_error"
    assert broken.value.message


def test_a_client_that_leaves_ends_the_call(client: OpenAI, upstream: Upstream) -> None:
    upstream.server.reply, upstream.server.tick = "word " * 1000, 0.02
    stream = client.chat.completions.create(model="scripted", messages=QUESTION, stream=True)
    for chunk in stream:
        if chunk.choices[0].delta.content:
            break
    assert upstream.server.streams == 1
    stream.close()
    until(lambda: upstream.server.streams == 0)
    assert upstream.server.generated < 1000


def test_a_stop_string_binds_the_answer_alone(client: OpenAI, upstream: Upstream) -> None:
    upstream.server.reply = "<think>one END two</think>three END four"
    reply: Any = client.chat.completions.create(model="scripted", messages=QUESTION, stop=["END"])
    message = reply.choices[0].message
    assert message.reasoning_content == "one END two"
    assert message.content.strip() == "three"
    assert reply.choices[0].finish_reason == "stop"


def test_a_raw_completion_passes_through(client: OpenAI, upstream: Upstream) -> None:
    upstream.server.reply = "four five six"
    chunks = list(client.completions.create(model="scripted", prompt="one two three", max_tokens=8, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == "four five six"
    assert {chunk.model for chunk in chunks} == {"scripted"}
    assert (upstream.asked["prompt"], upstream.asked["max_tokens"]) == ("one two three", 8)
    asked = client.completions.create(model="scripted:chain_of_draft", prompt="What is 2 plus 2?", stream=True)
    assert "".join(chunk.choices[0].text for chunk in asked).strip() == "four five six"
