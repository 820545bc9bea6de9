"""openai-python: chats and streams of every engine; one request and its whole conversation for each promise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

import openai
import pytest
from conftest import Gateway
from openai import OpenAI
from openai.types.chat import ChatCompletionChunk
from pydantic import BaseModel, Field
from serving import QUESTION


class Count(BaseModel):
    """What a structured answer holds. The number is bounded: a small model may else write digits without end."""

    jars: int = Field(ge=0, le=999)
    sure: Literal["yes", "no"]


@pytest.fixture
def client(gateway: Gateway) -> Iterator[OpenAI]:
    with OpenAI(base_url=gateway.base, api_key=gateway.key, timeout=180) as client:
        yield client


def read(stream: Any) -> tuple[list[ChatCompletionChunk], str, str]:
    """Return the chunks of a stream, its thinking and its answer; check what holds for every chunk on the way."""
    chunks = list(stream)
    assert len({(chunk.id, chunk.created, chunk.model) for chunk in chunks}) == 1
    thinking = answer = ""
    assert chunks[0].choices[0].delta.role == "assistant"
    assert chunks[0].choices[0].delta.content == ""
    for chunk in chunks:
        for choice in chunk.choices:
            thought = (choice.delta.model_extra or {}).get("reasoning_content") or ""
            assert not (thought and choice.delta.content), "thinking and answer share a chunk"
            assert not (thought and answer), "thinking follows the answer"
            thinking, answer = thinking + thought, answer + (choice.delta.content or "")
    return chunks, thinking, answer


def finished(stream: Any) -> Any:
    """Return what a helper has gathered; for a reply that a limit cut, the helper raises an error that holds it."""
    try:
        return stream.get_final_completion()
    except openai.LengthFinishReasonError as cut:
        return cut.completion


def test_a_chat(client: OpenAI, model: str) -> None:
    reply = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=48, seed=1)
    choice, usage = reply.choices[0], reply.usage
    assert reply.id.startswith("chatcmpl-")
    assert (reply.object, reply.model, choice.index, choice.message.role) == ("chat.completion", model, 0, "assistant")
    assert choice.finish_reason in ("stop", "length")
    assert choice.message.content
    assert usage is not None
    assert usage.completion_tokens_details is not None
    assert 0 < usage.completion_tokens <= 48
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert 0 <= (usage.completion_tokens_details.reasoning_tokens or 0) <= usage.completion_tokens
    said = (reply.model_extra or {})["ponder"]
    assert said["method"] == "auto"
    assert sum(said["tokens"].values()) == usage.completion_tokens
    assert said["saved"] is None
    assert reply._request_id


def test_a_chat_without_any_limit(client: OpenAI, model: str) -> None:
    """Most clients name none, and a server refuses one that is longer than its context."""
    asked: Any = [{"role": "user", "content": "Say hello."}]
    reply = client.chat.completions.create(model=model, messages=asked, temperature=0)
    assert reply.choices[0].message.content


def test_a_stream_says_what_the_whole_reply_says(client: OpenAI, model: str) -> None:
    asked: dict[str, Any] = {"model": model, "messages": QUESTION, "max_tokens": 40, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    stream = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    chunks, thinking, answer = read(stream)
    if model == "echo":  # the numbers of others differ a little with what they have cached
        assert answer == whole.choices[0].message.content
        assert thinking == (whole.choices[0].message.model_extra or {}).get("reasoning_content", "")
    assert answer
    reasons = [choice.finish_reason for chunk in chunks for choice in chunk.choices]
    assert reasons[:-1] == [None] * (len(reasons) - 1)
    assert reasons[-1] in ("stop", "length")
    assert [chunk.usage for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    said = next(chunk.model_extra["ponder"] for chunk in chunks if "ponder" in (chunk.model_extra or {}))
    assert chunks[-1].usage.completion_tokens == sum(said["tokens"].values())


def test_a_stream_through_the_helper(client: OpenAI, model: str) -> None:
    with client.chat.completions.stream(model=model, messages=QUESTION, max_tokens=24, temperature=0) as stream:
        said = "".join(event.delta for event in stream if event.type == "content.delta")
        final = finished(stream)
    assert said == final.choices[0].message.content
    assert final.choices[0].finish_reason in ("stop", "length")


def test_several_choices(client: OpenAI, model: str) -> None:
    reply = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=24, n=3, seed=5)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert reply.usage is not None
    assert 3 <= reply.usage.completion_tokens <= 72
    assert (reply.model_extra or {})["ponder"]["calls"] >= 3
    texts = {(c.message.content, (c.message.model_extra or {}).get("reasoning_content")) for c in reply.choices}
    assert len(texts) > 1, "each choice has a seed of its own"
    again = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=24, n=3, seed=5, stream=True)
    ends = [choice.index for chunk in again for choice in chunk.choices if choice.finish_reason]
    assert sorted(ends) == [0, 1, 2]


def test_logprobs_spell_the_answer(client: OpenAI, model: str) -> None:
    reply = client.chat.completions.create(
        model=model, messages=QUESTION, max_tokens=48, logprobs=True, top_logprobs=2, temperature=0
    )
    choice = reply.choices[0]
    assert choice.logprobs is not None
    assert choice.message.content
    rows = choice.logprobs.content or []
    assert choice.message.content in "".join(row.token for row in rows)
    assert all(row.logprob <= 0 and len(row.top_logprobs) <= 2 for row in rows)


def test_a_schema_is_kept_by_the_engine(client: OpenAI, model: str) -> None:
    if model == "echo":
        pytest.skip("the scripted engine writes no JSON")
    reply = client.chat.completions.parse(
        model=model, messages=QUESTION, max_tokens=400, temperature=0, response_format=Count
    )
    parsed = reply.choices[0].message.parsed
    assert isinstance(parsed, Count)
    assert json.loads(reply.choices[0].message.content or "") == parsed.model_dump()


def test_models_are_listed_and_retrieved(client: OpenAI, model: str) -> None:
    names = [entry.id for entry in client.models.list()]
    assert {model, f"{model}:auto", f"{model}:chain_of_draft", f"{model}:off"} <= set(names)
    entry = client.models.retrieve(model)
    assert (entry.id, entry.object) == (model, "model")
    facts = (entry.model_extra or {})["ponder"]
    assert facts["engine"]["state"] == "ready"
    assert client.models.retrieve(f"{model}:chain_of_draft").id == f"{model}:chain_of_draft"


def test_a_method_by_the_models_name_and_by_the_ponder_object(client: OpenAI, model: str) -> None:
    named = client.chat.completions.create(model=f"{model}:chain_of_draft", messages=QUESTION, max_tokens=16)
    assert (named.model_extra or {})["ponder"]["method"] == "chain_of_draft"
    raw = client.chat.completions.with_raw_response.create(
        model=model,
        messages=QUESTION,
        max_tokens=16,
        extra_body={"ponder": {"method": "self_consistency", "options": {"n": 3}}},
    )
    reply = raw.parse()
    said = (reply.model_extra or {})["ponder"]
    assert said["method"] == raw.headers["x-ponder-method"] == "self_consistency"
    assert said["calls"] >= 2
    assert reply.usage is not None
    assert sum(said["tokens"].values()) == reply.usage.completion_tokens


@pytest.mark.parametrize("effort", ["none", "low"])
def test_an_effort_is_understood(client: OpenAI, model: str, effort: Literal["none", "low"]) -> None:
    reply = client.chat.completions.create(model=model, messages=QUESTION, max_tokens=40, reasoning_effort=effort)
    said = (reply.model_extra or {})["ponder"]
    assert said["source"] == "reasoning_effort"
    assert said["budget"] == {"none": 0, "low": 1024}[effort]
    if effort == "none":
        assert said["used"] <= said["evidence"]["escaped"], "what is thought anyway was found in the answer"
    assert reply.choices[0].message.content


def test_a_budget_of_everything_ends_the_request(client: OpenAI) -> None:
    body = {"ponder": {"method": "self_consistency", "options": {"n": 4}, "budget": 20}}
    reply = client.chat.completions.create(model="echo", messages=QUESTION, extra_body=body)
    assert reply.usage is not None
    assert reply.usage.completion_tokens < 20 + 4, "each of the open calls may have one token under way"


def test_many_clients_at_once_are_all_answered(client: OpenAI) -> None:
    def ask(number: int) -> str:
        said = [{"role": "user", "content": f"What is {number} plus 2?"}]
        return client.chat.completions.create(model="echo", messages=said).choices[0].message.content or ""

    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(ask, range(64)))
    assert all("boxed" in answer for answer in answers)


def test_tools_of_a_real_server(client: OpenAI, gateway: Gateway) -> None:
    if reason := gateway.missing.get("vllm"):
        pytest.skip(reason)
    spec = {
        "type": "object",
        "properties": {"a": {"type": "integer"}, "b": {"type": "integer"}},
        "required": ["a", "b"],
    }
    tool: Any = {"type": "function", "function": {"name": "multiply", "parameters": spec}}
    choice: Any = {"type": "function", "function": {"name": "multiply"}}
    asked: Any = {"messages": QUESTION, "tools": [tool], "tool_choice": choice, "max_tokens": 80, "temperature": 0}
    reply = client.chat.completions.create(model="vllm", **asked)
    with OpenAI(base_url=gateway.real, api_key="none") as direct:
        # Streamed, as the gateway asks: a call that the limit cuts is none in vLLM's whole replies.
        chunks = list(direct.chat.completions.create(model="real", stream=True, **asked))
    deltas = [call.function for chunk in chunks for call in chunk.choices[0].delta.tool_calls or [] if call.function]
    (call,) = reply.choices[0].message.tool_calls or []
    assert call.type == "function"
    # Whether a model of this size fills the arguments in well is its own affair.
    own = "".join(delta.name or "" for delta in deltas), "".join(delta.arguments or "" for delta in deltas)
    assert (call.function.name, call.function.arguments) == own
    assert call.function.name == "multiply"
    assert reply.choices[0].finish_reason == "tool_calls"


def test_a_raw_completion_of_a_real_server(client: OpenAI, gateway: Gateway) -> None:
    if reason := gateway.missing.get("vllm"):
        pytest.skip(reason)
    reply = client.completions.create(model="vllm", prompt="one two three four", max_tokens=8, temperature=0.7, n=2)
    assert len(reply.choices) == 2
    assert reply.usage is not None
    assert reply.usage.completion_tokens <= 16


def test_errors_are_typed(client: OpenAI, gateway: Gateway) -> None:
    create = client.chat.completions.create
    with pytest.raises(openai.NotFoundError) as missing:
        create(model="nobody", messages=QUESTION)
    assert (missing.value.code, missing.value.param) == ("model_not_found", "model")
    assert missing.value.type == "invalid_request_error"
    with pytest.raises(openai.BadRequestError) as wrong:
        create(model="echo", messages=QUESTION, temperature="hot")  # type: ignore[call-overload]
    assert wrong.value.param == "temperature"
    with pytest.raises(openai.BadRequestError) as unknown:
        create(model="echo", messages=QUESTION, extra_body={"ponder": {"methud": "auto"}})
    assert "methud" in str(unknown.value.param)
    assert "method" in unknown.value.message
    with pytest.raises(openai.BadRequestError) as none:
        create(model="echo", messages=QUESTION, n=0)
    assert none.value.param == "n"
    stranger = OpenAI(base_url=gateway.base, api_key="sk-wrong")
    with pytest.raises(openai.AuthenticationError) as refused:
        stranger.models.list()
    assert refused.value.code == "invalid_api_key"
    assert "sk-wrong" not in str(refused.value)
    assert refused.value.request_id


def test_an_engine_without_tools_says_so(client: OpenAI, gateway: Gateway) -> None:
    if reason := gateway.missing.get("embedded"):
        pytest.skip(reason)
    tool: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object", "properties": {}}}}
    with pytest.raises(openai.BadRequestError) as error:
        client.chat.completions.create(model="embedded", messages=QUESTION, tools=[tool])
    assert error.value.code == "unsupported"
    assert "tools" in error.value.message
