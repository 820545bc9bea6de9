"""What a client is told when something goes wrong: OpenAI's error object, its status, and whether to try again."""

from __future__ import annotations

from math import ceil, isfinite

from ponder.core.errors import EngineError, PonderError, TapeMiss, Unsupported

_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {
    400: "invalid_request",
    401: "invalid_api_key",
    403: "permission_denied",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "request_too_large",
    429: "rate_limit_exceeded",
    502: "upstream_error",
    503: "upstream_unavailable",
    504: "upstream_timeout",
}
_UPSTREAM = {
    **{400: 400, 404: 404, 408: 504, 409: 503, 413: 400, 422: 400},
    **{425: 503, 429: 429, 503: 503, 504: 504, 529: 503},
}
"""What an upstream's status becomes. A 400 or a 429 that became a 500 would make clients repeat the whole request."""

_TOO_LONG = (
    "context length",
    "context window",
    "context size",
    "maximum context",
    "prompt is too long",
    "too many tokens",
    "the context holds",
    "tokens of a context",
)
"""How servers say that a prompt is too long, the engines of this process included."""


class ApiError(Exception):
    """An answer other than 200. `retry` is what `x-should-retry` says, `retry_after` is in seconds.

    `type` and `code` follow from the status where they are not given.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
        retry: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.type = type or _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
        self.param = param
        self.code = code or _CODES.get(status, "internal_error" if status >= 500 else "invalid_request")
        self.retry_after = retry_after
        self.retry = retry

    @classmethod
    def bad(cls, param: str | None, message: str, code: str = "invalid_value") -> ApiError:
        """Return a 400 that names the field which is wrong."""
        return cls(400, message, param=param, code=code)

    @classmethod
    def of(cls, error: PonderError, *, costly: bool = False) -> ApiError:
        """Return what an error of ours is to a client.

        `costly` says that a method of many calls has spent tokens already: the client is told not to repeat the whole
        request by itself.
        """
        if not isinstance(error, EngineError):
            return cls(400, str(error), code="unsupported" if isinstance(error, Unsupported) else "invalid_value")
        if isinstance(error, TapeMiss):
            return cls(502, str(error), code="tape_miss")
        return _of_engine(error, costly)

    def body(self) -> dict[str, object]:
        """Return the JSON object, the same before a stream and within one."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}

    def headers(self) -> dict[str, str]:
        """Return `x-should-retry`, which stops clients that repeat every 5xx, and `Retry-After` in whole seconds."""
        said = {"x-should-retry": "true" if self.retry else "false"}
        if self.retry_after is not None and isfinite(self.retry_after):
            # Rounded up: who comes back half a second early is refused again.
            said["Retry-After"] = str(max(0, ceil(self.retry_after)))
        return said


def _of_engine(error: EngineError, costly: bool) -> ApiError:
    upstream, message = error.status, str(error)
    if upstream in (401, 403):
        # The message names the variable that holds the gateway's own key, which is not the client's business.
        hidden = "the model server refuses this gateway's own key; tell whoever runs the gateway"
        return ApiError(502, hidden, code="upstream_auth")
    status = _UPSTREAM.get(upstream, 502) if upstream is not None else 502
    if status == 400:
        long = upstream == 413 or any(words in message.lower() for words in _TOO_LONG)
        return ApiError(400, message, code="context_length_exceeded" if long else "upstream_refused")
    if status == 404:
        return ApiError(404, message, param="model", code="model_not_found")
    return ApiError(status, message, retry=error.retry and not costly, retry_after=error.retry_after)
