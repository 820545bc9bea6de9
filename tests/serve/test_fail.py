"""Errors as clients know them: OpenAI's object, the right status, and whether the request may be sent again."""

from __future__ import annotations

import json

import pytest

from ponder.core.errors import DataError, EngineError, OptionError, PonderError, TapeMiss, Unsupported
from ponder.engines.llama_server import refusal
from ponder.serve.fail import ApiError


def test_the_error_object_has_all_four_fields() -> None:
    """`{"error": {message,type,param,code}}`: typed exception, all fields."""
    body = ApiError.bad("n", "n must be at least 1").body()
    assert body == {
        "error": {
            "message": "n must be at least 1",
            "type": "invalid_request_error",
            "param": "n",
            "code": "invalid_value",
        }
    }
    assert "detail" not in json.dumps(body), "FastAPI's default is never sent"


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", "invalid_request"),
        (401, "authentication_error", "invalid_api_key"),
        (403, "permission_error", "permission_denied"),
        (404, "invalid_request_error", "not_found"),
        (405, "invalid_request_error", "method_not_allowed"),
        (413, "invalid_request_error", "request_too_large"),
        (418, "invalid_request_error", "invalid_request"),
        (429, "rate_limit_error", "rate_limit_exceeded"),
        (500, "server_error", "internal_error"),
        (502, "server_error", "upstream_error"),
        (503, "server_error", "upstream_unavailable"),
        (504, "server_error", "upstream_timeout"),
    ],
)
def test_type_and_code_follow_from_the_status(status: int, kind: str, code: str) -> None:
    error = ApiError(status, "it went wrong")
    assert (error.type, error.code, error.param) == (kind, code, None)
    assert str(error) == error.message == "it went wrong"


def test_type_and_code_may_be_given() -> None:
    error = ApiError(404, "no such model", type="not_found_error", param="model", code="model_not_found")
    assert (error.type, error.param, error.code) == ("not_found_error", "model", "model_not_found")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (OptionError("every = 0 is out of range"), "invalid_value"),
        (Unsupported("Sample needs an engine with LOGPROBS"), "unsupported"),
        (DataError("there is no such file"), "invalid_value"),
        (PonderError("it does not work so"), "invalid_value"),
    ],
)
def test_what_a_client_asked_wrongly_is_a_400(error: PonderError, code: str) -> None:
    told = ApiError.of(error)
    assert (told.status, told.type, told.code, told.retry) == (400, "invalid_request_error", code, False)
    assert told.message == str(error)


@pytest.mark.parametrize(
    ("upstream", "status", "code"),
    [
        (None, 502, "upstream_error"),
        (400, 400, "upstream_refused"),
        (401, 502, "upstream_auth"),
        (403, 502, "upstream_auth"),
        (404, 404, "model_not_found"),
        (408, 504, "upstream_timeout"),
        (409, 503, "upstream_unavailable"),
        (413, 400, "context_length_exceeded"),
        (418, 502, "upstream_error"),
        (422, 400, "upstream_refused"),
        (429, 429, "rate_limit_exceeded"),
        (500, 502, "upstream_error"),
        (502, 502, "upstream_error"),
        (503, 503, "upstream_unavailable"),
        (504, 504, "upstream_timeout"),
        (529, 503, "upstream_unavailable"),
    ],
)
def test_an_upstream_status_stays_what_it_means(upstream: int | None, status: int, code: str) -> None:
    """429 with upstream `Retry-After` kept, 502/503/504 for upstream trouble; a 400 or 429 never becomes a 500."""
    error = ApiError.of(EngineError("127.0.0.1:8000 has trouble", status=upstream))
    assert (error.status, error.code) == (status, code)


@pytest.mark.parametrize(
    "said",
    [
        "This model's maximum context length is 4096 tokens",
        "the request exceeds the available context size",
        "Prompt is too long: 9000 > 8192",
        str(refusal("m", 400, {"type": "exceed_context_size_error", "n_prompt_tokens": 9000, "n_ctx": 8192})),
        "m: the prompt takes 9000 tokens of a context of 8192, so none is left for a reply; shorten it",
    ],
)
def test_a_prompt_that_is_too_long_has_its_own_code(said: str) -> None:
    """413/400 context_length_exceeded"""
    error = ApiError.of(EngineError(said, status=400))
    assert (error.status, error.code) == (400, "context_length_exceeded")


def test_the_gateways_own_key_is_not_the_clients_business() -> None:
    inner = EngineError("api.example.org refuses the key in the environment variable UPSTREAM_KEY", status=401)
    told = ApiError.of(inner)
    assert "UPSTREAM_KEY" not in json.dumps(told.body())
    assert told.headers()["x-should-retry"] == "false"


def test_retry_after_is_kept_and_rounded_up() -> None:
    told = ApiError.of(EngineError("slow down", status=429, retry=True, retry_after=1.2))
    assert told.headers() == {"x-should-retry": "true", "Retry-After": "2"}


@pytest.mark.parametrize("seconds", [float("inf"), float("nan")])
def test_a_time_that_is_none_is_left_out(seconds: float) -> None:
    assert "Retry-After" not in ApiError(429, "slow down", retry_after=seconds).headers()


def test_a_time_in_the_past_is_now() -> None:
    assert ApiError(429, "slow down", retry_after=-3).headers()["Retry-After"] == "0"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_costly_method_that_failed_half_way_is_not_repeated(status: int) -> None:
    """Send `x-should-retry: false` when a costly method failed half-way."""
    inner = EngineError("it broke off", status=status, retry=True)
    assert ApiError.of(inner).headers()["x-should-retry"] == "true"
    assert ApiError.of(inner, costly=True).headers()["x-should-retry"] == "false"


def test_a_refusal_of_the_client_is_never_repeated() -> None:
    assert ApiError.bad("n", "n must be at least 1").headers() == {"x-should-retry": "false"}


def test_a_tape_that_lacks_a_call_is_no_fault_of_the_client() -> None:
    told = ApiError.of(TapeMiss("the tape holds no such call"))
    assert (told.status, told.code, told.retry) == (502, "tape_miss", False)
