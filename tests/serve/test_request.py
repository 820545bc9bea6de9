"""Request bodies as values: sampling, limits, streaming, formats, and what goes upstream untouched."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ponder.core.engine import Sampling
from ponder.core.problem import Message, Prompt, Thinking
from ponder.serve.fail import ApiError
from ponder.serve.request import ChatRequest, CompletionRequest, Limits, read_chat, read_completion

ASK: dict[str, object] = {"model": "qwen3", "messages": [{"role": "user", "content": "2+2?"}]}
RAW: dict[str, object] = {"model": "qwen3", "prompt": "2+2="}


def chat(**more: object) -> ChatRequest:
    return read_chat({**ASK, **more})


def raw(**more: object) -> CompletionRequest:
    return read_completion({**RAW, **more})


def refused(**more: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        chat(**more)
    assert (caught.value.status, caught.value.type) == (400, "invalid_request_error")
    return caught.value


def extra(request: ChatRequest) -> dict[str, object]:
    found: object = json.loads(request.problem.extra or "{}")
    assert isinstance(found, dict)
    return found


def test_the_smallest_request() -> None:
    request = chat()
    assert request.model == "qwen3"
    assert request.problem.messages == (Message.of("user", "2+2?"),)
    assert (request.problem.id, request.problem.tools, request.problem.response_format) == ("request", (), None)
    assert request.problem.extra == ""
    assert request.sampling == {}
    assert (request.seed, request.n, request.stream, request.include_usage) == (None, 1, False, False)
    assert (request.top_logprobs, request.ignored) == (None, ())
    assert request.control.thinking is None


def test_nulls_are_as_good_as_nothing() -> None:
    names = (
        "temperature top_p top_k min_p max_tokens max_completion_tokens stop seed n stream stream_options logprobs "
        "top_logprobs logit_bias tools tool_choice response_format user metadata reasoning_effort thinking ponder "
        "presence_penalty frequency_penalty parallel_tool_calls functions unknown"
    )
    assert chat(**dict.fromkeys(names.split())) == chat()


def test_the_request_has_its_id() -> None:
    assert read_chat(ASK, Limits(), "req-7").problem.id == "req-7"


@pytest.mark.parametrize("body", [None, [], "x", 5, True])
def test_the_body_is_an_object(body: object) -> None:
    for read in (read_chat, read_completion):
        with pytest.raises(ApiError) as caught:
            read(body)
        assert (caught.value.status, caught.value.code) == (400, "invalid_type")


@pytest.mark.parametrize(("model", "code"), [(None, "missing_required_parameter"), ("", "invalid_value"), (5, None)])
def test_a_model_is_named(model: object, code: str | None) -> None:
    error = refused(model=model)
    assert error.param == "model"
    assert error.code == (code or "invalid_type")


# How tokens are drawn


def test_sampling_is_what_the_client_gave_and_nothing_else() -> None:
    request = chat(temperature=0, top_p=0.9, top_k=20, min_p=0.05, stop=["\n\n", "END", "END"], max_tokens=100)
    assert request.sampling == {
        "temperature": 0.0,
        "top_p": 0.9,
        "top_k": 20,
        "min_p": 0.05,
        "stop": ("\n\n", "END"),
        "max_tokens": 100,
    }


def test_everything_that_is_read_is_a_sampling() -> None:
    request = chat(temperature=1.5, top_k=-1, stop="x", logit_bias={"5": -100}, logprobs=True, max_tokens=7.0)
    drawn = replace(Sampling(), **request.sampling)
    assert (drawn.top_k, drawn.stop, drawn.logit_bias, drawn.logprobs) == (0, ("x",), ((5, -100.0),), 1)
    assert drawn.max_tokens == 7


@pytest.mark.parametrize(
    ("given", "bound"),
    [
        ({"max_tokens": 50}, 50),
        ({"max_completion_tokens": 60}, 60),
        ({"max_tokens": 50, "max_completion_tokens": 60}, 50),
        ({"max_tokens": 70, "max_completion_tokens": 60}, 60),
        ({"max_tokens": -1}, None),
        ({"max_tokens": -1, "max_completion_tokens": 60}, 60),
        ({}, None),
    ],
)
def test_both_names_of_the_limit(given: dict[str, object], bound: int | None) -> None:
    """`max_tokens` / `max_completion_tokens` bound the returned reply, thinking included."""
    assert chat(**given).sampling.get("max_tokens") == bound


@pytest.mark.parametrize(("seed", "read"), [(None, None), (0, 0), (42, 42), (-1, -1), (2**63 - 1, 2**63 - 1)])
def test_the_seed_is_the_runs(seed: int | None, read: int | None) -> None:
    """`seed` becomes the run's seed: a forwarded seed would make N identical samples."""
    request = chat(seed=seed)
    assert request.seed == read
    assert "seed" not in request.sampling
    assert "seed" not in extra(request)


@pytest.mark.parametrize(
    ("stop", "read"), [(None, None), ("x", ("x",)), ([], None), (["a", "b"], ("a", "b")), (["a", "a"], ("a",))]
)
def test_stop_strings(stop: object, read: tuple[str, ...] | None) -> None:
    assert chat(stop=stop).sampling.get("stop") == read


@pytest.mark.parametrize(
    ("given", "top", "rivals"),
    [
        ({}, None, None),
        ({"logprobs": False}, None, None),
        ({"logprobs": False, "top_logprobs": 0}, None, None),
        ({"logprobs": True}, 0, 1),
        ({"logprobs": True, "top_logprobs": 0}, 0, 1),
        ({"logprobs": True, "top_logprobs": 5}, 5, 5),
    ],
)
def test_logprobs(given: dict[str, object], top: int | None, rivals: int | None) -> None:
    request = chat(**given)
    assert (request.top_logprobs, request.sampling.get("logprobs")) == (top, rivals)


@pytest.mark.parametrize(
    ("given", "param"),
    [
        ({"temperature": "hot"}, "temperature"),
        ({"temperature": True}, "temperature"),
        ({"temperature": -0.5}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"temperature": 10**400}, "temperature"),
        ({"top_p": 0}, "top_p"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": 2.5}, "top_k"),
        ({"top_k": -2}, "top_k"),
        ({"min_p": 2}, "min_p"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": -2}, "max_tokens"),
        ({"max_tokens": "100"}, "max_tokens"),
        ({"max_tokens": 1e30}, "max_tokens"),
        ({"max_completion_tokens": 0}, "max_completion_tokens"),
        ({"max_completion_tokens": True}, "max_completion_tokens"),
        ({"stop": 5}, "stop"),
        ({"stop": ""}, "stop"),
        ({"stop": [""]}, "stop[0]"),
        ({"stop": ["a", None]}, "stop[1]"),
        ({"stop": ["a"] * 17}, "stop"),
        ({"seed": "7"}, "seed"),
        ({"seed": True}, "seed"),
        ({"seed": 2**63}, "seed"),
        ({"n": 0}, "n"),
        ({"n": 17}, "n"),
        ({"n": "2"}, "n"),
        ({"n": False}, "n"),
        ({"stream": 1}, "stream"),
        ({"stream": "true"}, "stream"),
        ({"stream_options": True}, "stream_options"),
        ({"stream_options": {"include_usage": "yes"}}, "stream_options.include_usage"),
        ({"logprobs": 5}, "logprobs"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"top_logprobs": 5}, "top_logprobs"),
        ({"logit_bias": []}, "logit_bias"),
        ({"logit_bias": {"hello": 1}}, "logit_bias"),
        ({"logit_bias": {"-1": 1}}, "logit_bias"),
        ({"logit_bias": {"٣": 1}}, "logit_bias"),
        ({"logit_bias": {"5": 101}}, "logit_bias.5"),
        ({"logit_bias": {"5": "1"}}, "logit_bias.5"),
        ({"response_format": "json"}, "response_format"),
        ({"response_format": {}}, "response_format.type"),
        ({"response_format": {"type": "json_schema"}}, "response_format.json_schema"),
        ({"presence_penalty": 3}, "presence_penalty"),
        ({"frequency_penalty": "1"}, "frequency_penalty"),
        ({"user": 5}, "user"),
        ({"metadata": "x"}, "metadata"),
        ({"parallel_tool_calls": "no"}, "parallel_tool_calls"),
        ({"tool_choice": 1}, "tool_choice"),
        ({"tools": [{}]}, "tools[0].function"),
        ({"messages": "hi"}, "messages"),
        ({"ponder": {"metod": "auto"}}, "ponder.metod"),
        ({"unknown": {"deep": float("inf")}}, None),
        ({"unknown": {1, 2}}, None),
    ],
)
def test_bad_input_is_a_400_that_names_the_field(given: dict[str, object], param: str | None) -> None:
    error = refused(**given)
    assert error.param == param
    assert error.code
    assert error.message.isprintable()


def test_limits_are_the_gateways() -> None:
    few = Limits(n=2, stops=1, messages=1, tools=0, top_logprobs=1)
    two = [{"role": "user", "content": "a"}] * 2
    tool = {"type": "function", "function": {"name": "f"}}
    for more in ({"n": 3}, {"stop": ["a", "b"]}, {"messages": two}, {"tools": [tool]}):
        with pytest.raises(ApiError) as caught:
            read_chat({**ASK, **more}, few)
        assert caught.value.param == next(iter(more))
    assert read_chat({**ASK, "n": 2}, few).n == 2


# Streaming and formats


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, (False, False)),
        ({"stream": True}, (True, False)),
        ({"stream": True, "stream_options": {}}, (True, False)),
        ({"stream": True, "stream_options": {"include_usage": True}}, (True, True)),
        ({"stream": True, "stream_options": {"include_usage": True, "include_obfuscation": False}}, (True, True)),
        ({"stream_options": {"include_usage": True}}, (False, True)),
    ],
)
def test_streaming(given: dict[str, object], expected: tuple[bool, bool]) -> None:
    """Usage only if `stream_options.include_usage`"""
    request = chat(**given)
    assert (request.stream, request.include_usage) == expected
    assert extra(request) == {}


def test_a_response_format_is_kept_as_it_came() -> None:
    schema = {
        "type": "json_schema",
        "json_schema": {"name": "n", "schema": {"type": "object", "ü": [1.5]}, "strict": True},
    }
    request = chat(response_format=schema)
    assert json.loads(request.problem.response_format or "") == schema
    assert chat(response_format={"type": "json_object"}).problem.response_format == '{"type": "json_object"}'
    assert chat(response_format={"type": "text"}).problem.response_format is None


# What goes upstream untouched


def test_unknown_fields_are_forwarded() -> None:
    """Accept and forward unknown fields; `extra_body` of the SDK arrives flattened at top level."""
    further = {
        "presence_penalty": 0.5,
        "frequency_penalty": -0.5,
        "tool_choice": {"type": "function", "function": {"name": "f"}},
        "parallel_tool_calls": False,
        "user": "ada",
        "metadata": {"k": "v"},
        "guided_json": {"type": "object"},
        "top_a": 0.1,
        "service_tier": "flex",
        "unicode": "你好",
    }
    request = chat(**further)
    assert extra(request) == further
    assert Prompt.of(request.problem).extra == request.problem.extra


def test_what_is_read_is_not_forwarded() -> None:
    request = chat(
        temperature=0.5, max_tokens=5, stop="x", seed=1, n=2, stream=True, logprobs=True, top_logprobs=2,
        reasoning_effort="low", thinking_budget=10, ponder={"method": "auto"}, foo=1,
        tools=[{"type": "function", "function": {"name": "f"}}], response_format={"type": "json_object"},
        chat_template_kwargs={"enable_thinking": True, "date": "today"},
    )  # fmt: skip
    assert extra(request) == {"foo": 1, "chat_template_kwargs": {"date": "today"}}
    assert request.control.method == "auto"
    assert request.control.thinking == Thinking.budget(10)


@pytest.mark.parametrize("name", ["api_key", "api_base", "base_url", "extra_headers", "custom_llm_provider"])
def test_no_client_chooses_the_upstream_or_its_key(name: str) -> None:
    """the caller cannot choose the upstream URL or send provider keys in the body"""
    error = refused(**{name: "sk-secret"})
    assert (error.param, error.code) == (name, "forbidden_field")
    assert "sk-secret" not in json.dumps(error.body())


def test_an_error_does_not_repeat_a_prompt() -> None:
    """never a secret in a log: messages of errors are logged, and hold no text of a prompt"""
    secret = "my password is hunter2"
    for more in (
        {"messages": secret},
        {"messages": [secret]},
        {"messages": [{"role": "user", "content": {"text": secret}}]},
        {"tools": [secret]},
        {"temperature": secret},
        {"stop": [{"a": secret}]},
    ):
        assert "hunter2" not in refused(**more).message


def test_ignored_fields_come_with_the_request() -> None:
    messages = [{"role": "user", "content": "hi", "name": "ada"}]
    request = chat(messages=messages, reasoning={"effort": "low", "summary": "auto"})
    assert request.ignored == ("reasoning.summary", "messages.name")


def test_reading_changes_nothing_in_the_body() -> None:
    body = {**ASK, "chat_template_kwargs": {"enable_thinking": True, "x": 1}, "ponder": {"options": {"every": None}}}
    before = json.dumps(body)
    read_chat(body)
    read_completion({**body, "prompt": "x"})
    assert json.dumps(body) == before


# Legacy completions


def test_a_legacy_request() -> None:
    request = raw(max_tokens=16, temperature=0, stop=["\n"], seed=3, logprobs=2, stream=True, echo=True, best_of=1)
    assert request.prompts == ("2+2=",)
    assert [problem.question for problem in request.problems] == ["2+2="]
    assert request.sampling == {"max_tokens": 16, "temperature": 0.0, "stop": ("\n",), "logprobs": 2}
    assert (request.seed, request.stream, request.echo, request.top_logprobs) == (3, True, True, 2)
    assert json.loads(request.problems[0].extra) == {"best_of": 1}


@pytest.mark.parametrize(
    ("prompt", "prompts", "problems"),
    [
        ("a", ("a",), 1),
        ("", ("",), 1),
        (["a", "b"], ("a", "b"), 2),
        ([1, 2, 3], ((1, 2, 3),), 0),
        ([[1, 2], [3]], ((1, 2), (3,)), 0),
    ],
)
def test_every_form_of_a_prompt(prompt: object, prompts: tuple[object, ...], problems: int) -> None:
    request = raw(prompt=prompt)
    assert request.prompts == prompts
    assert len(request.problems) == problems


def test_every_prompt_has_an_id_of_its_own() -> None:
    request = read_completion({**RAW, "prompt": ["a", "b"]}, Limits(), "req-1")
    assert [problem.id for problem in request.problems] == ["req-1", "req-1-1"]


@pytest.mark.parametrize(
    ("prompt", "param"),
    [
        (None, "prompt"),
        ([], "prompt"),
        (5, "prompt"),
        ({}, "prompt"),
        ([None], "prompt[0]"),
        ([True], "prompt[0]"),
        ([1, "a"], "prompt[0]"),
        (["a", []], "prompt[1]"),
        ([[1, -1]], "prompt[0]"),
        ([[1.5]], "prompt[0]"),
        ([10**30], "prompt[0]"),
        (["a"] * 129, "prompt"),
    ],
)
def test_a_wrong_prompt_is_refused(prompt: object, param: str) -> None:
    with pytest.raises(ApiError) as caught:
        raw(prompt=prompt)
    assert (caught.value.status, caught.value.param) == (400, param)


def test_a_passthrough_has_everything_but_what_is_ours() -> None:
    request = raw(ponder={"method": None}, suffix="x", logit_bias={"5": 1}, thinking_budget=5)
    assert dict(request.passed) == {**RAW, "suffix": "x", "logit_bias": {"5": 1}, "thinking_budget": 5}


@pytest.mark.parametrize("given", [{"logprobs": True}, {"logprobs": 21}, {"echo": 1}, {"api_key": "x"}, {"n": 0}])
def test_wrong_legacy_fields_are_refused(given: dict[str, object]) -> None:
    with pytest.raises(ApiError) as caught:
        raw(**given)
    assert (caught.value.status, caught.value.param) == (400, next(iter(given)))
