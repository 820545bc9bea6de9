"""Whatever comes in, what comes out is a request or a 400 that says which field; never another exception."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ponder.core.engine import Sampling
from ponder.core.problem import Prompt
from ponder.engines.dialects import dialect_named
from ponder.serve.chunks import ChatStream
from ponder.serve.fail import ApiError
from ponder.serve.request import ChatRequest, CompletionRequest, read_chat, read_completion, read_json
from ponder.serve.respond import Applied, Bill, Choice, Outcome, chat_body, headers

Read = Callable[[object], ChatRequest | CompletionRequest]


def words(text: str) -> list[str]:
    return text.split(" ")


FIELDS = words(
    "temperature top_p top_k min_p max_tokens max_completion_tokens stop seed n stream stream_options logprobs "
    "top_logprobs logit_bias tools tool_choice response_format user metadata reasoning_effort thinking reasoning "
    "enable_thinking thinking_budget thinking_token_budget thinking_budget_tokens chat_template_kwargs custom_params "
    "output_config think ponder presence_penalty functions prompt echo include_reasoning reasoning_format foo"
)
INNER = words(
    "role content type text image_url url detail tool_calls id function name arguments tool_call_id reasoning_content "
    "reasoning reasoning_details thinking thinking_blocks signature effort max_tokens enabled exclude budget_tokens "
    "method options budget notes include_usage json_schema schema parameters 5 100257"
)
WORDS = words(
    "user assistant tool system developer text image_url function thinking low none enabled json_schema both "
    "data:image/png;base64,AA== <think>a</think>b \ud800 \x00 /no_think"
)

texts = st.one_of(st.sampled_from(WORDS), st.text(max_size=8))
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 40),
    st.sampled_from([2**31, 2**63, -(2**63) - 1, 10**400, 0.5, 1e308, float("nan"), float("inf"), -0.0]),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.one_of(st.sampled_from(INNER), texts), inner, max_size=4)
    ),
    max_leaves=12,
)
turns = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "tool", "system"]), "content": st.one_of(texts, values)},
    optional={name: values for name in ("tool_calls", "reasoning", "thinking_blocks", "tool_call_id", "name")},
)
plain = st.just([{"role": "user", "content": "2+2?"}])
bodies = st.builds(
    lambda base, more: {**base, **more},
    st.fixed_dictionaries(
        {"model": st.just("m"), "messages": st.one_of(plain, st.lists(turns, min_size=1, max_size=3))}
    ),
    st.dictionaries(st.one_of(st.sampled_from(FIELDS), texts), values, max_size=4),
)
CALM = settings(
    max_examples=100, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


def attempt(read: Read, body: object) -> ChatRequest | CompletionRequest | None:
    """Read a body; a refusal must be complete."""
    try:
        return read(body)
    except ApiError as error:
        check_refusal(error)
        return None


def check_refusal(error: ApiError) -> None:
    assert (error.status, error.type) == (400, "invalid_request_error")
    assert error.code
    assert 0 < len(error.message) < 1000
    assert json.loads(json.dumps(error.body()))["error"]["message"] == error.message
    assert all(value.isascii() and value.isprintable() for value in error.headers().values())


@pytest.mark.parametrize("read", [read_chat, read_completion])
@CALM
@given(body=bodies)
def test_any_value_is_read_or_refused(read: Read, body: object) -> None:
    request = attempt(read, body)
    assert request is None or Sampling(**request.sampling).max_tokens >= 1


@pytest.mark.parametrize("read", [read_chat, read_completion])
@CALM
@given(body=values)
def test_any_body_is_read_or_refused(read: Read, body: object) -> None:
    assert attempt(read, body) is None or isinstance(body, dict)


@CALM
@given(raw=st.one_of(st.binary(max_size=64), st.text(alphabet='{}[]:,"\\u0123456789abcdefDNaIinty. -+eE', max_size=64)))
def test_any_bytes_are_json_or_refused(raw: bytes | str) -> None:
    data = raw if isinstance(raw, bytes) else raw.encode()
    try:
        value = read_json(data)
    except ApiError as error:
        check_refusal(error)
    else:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@CALM
@given(body=bodies)
def test_what_came_as_bytes_and_was_read_can_be_sent_to_a_server(body: dict[str, object]) -> None:
    """Nothing that passes here may fail behind: the upstream's body is JSON, UTF-8, and finite."""
    try:
        request = read_chat(read_json(json.dumps(body).encode()))
    except ApiError as error:
        check_refusal(error)
        return
    sampling = Sampling(**request.sampling)
    sent = dialect_named("vllm").chat("m", Prompt.of(request.problem, thinking=request.control.thinking), sampling)
    json.dumps(sent, ensure_ascii=False, allow_nan=False).encode()
    assert sent["model"] == "m"
    assert "ponder" not in sent


@CALM
@given(
    thinking=st.text(max_size=20), answer=st.text(max_size=20), model=st.text(max_size=8), method=st.text(max_size=8)
)
def test_any_text_can_be_sent_back(thinking: str, answer: str, model: str, method: str) -> None:
    bill = Bill()
    ponder = Applied(method, route=answer).body(bill)
    body = chat_body(Outcome("id", 1, model, (Choice(answer, thinking),), bill, ponder))
    assert json.loads(json.dumps(body, allow_nan=False)) == body
    said = headers(ponder)
    assert all(value.isascii() and value.isprintable() for value in said.values())
    stream = ChatStream("id", 1, model)
    raw = stream.first() + stream.delta(thinking, "think") + stream.delta(answer) + stream.finish("stop", 0, ponder)
    events = [json.loads(event.removeprefix(b"data: ")) for event in raw.split(b"\n\n") if event]
    deltas = [event["choices"][0]["delta"] for event in events]
    assert "".join(delta.get("reasoning", "") for delta in deltas) == thinking
    assert "".join(delta.get("content", "") for delta in deltas) == answer
    assert {event["model"] for event in events} == {model}
