"""A request body as values: what a method is asked, how tokens are drawn, and what else goes upstream untouched."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ponder.core.engine import SamplingArgs
from ponder.core.problem import Message, Problem
from ponder.serve.control import Control, read_control
from ponder.serve.fields import MAX_TOKENS, Fields, read_json, shown
from ponder.serve.messages import read_messages, read_tools, to_json

__all__ = ["ChatRequest", "CompletionRequest", "Limits", "read_chat", "read_completion", "read_json"]

_FORBIDDEN = frozenset(
    {"api_base", "api_key", "api_version", "authorization", "base_url", "custom_llm_provider", "extra_headers"}
    | {"headers", "organization"}
)
"""Fields by which a client could choose the upstream or hand it a key; some upstreams would obey them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for."""

    n: int = 16
    stops: int = 16
    messages: int = 10_000
    tools: int = 512
    prompts: int = 128
    top_logprobs: int = 20


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call of `/chat/completions`.

    `sampling` holds what the client gave: temperature, top_p, top_k, min_p, logit_bias, max_tokens (the smaller one of
    `max_tokens` and `max_completion_tokens`: the whole reply, thinking included), stop (of the answer only) and
    logprobs. `top_logprobs` is how many rivals the reply shows for each token, None where no log-probabilities were
    asked for. `seed` is the run's. `ignored` names fields that were understood and cannot be kept.
    """

    model: str
    problem: Problem
    sampling: SamplingArgs
    control: Control
    seed: int | None = None
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    top_logprobs: int | None = None
    ignored: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class CompletionRequest:
    """One call of the legacy `/completions`: as `ChatRequest`, with a problem for each prompt.

    `problems` ask each prompt as a user would; it is empty where prompts are token ids, which only a passthrough can
    carry. `prompts` are the prompts as they came. `passed` is the body for such a passthrough, the fields of this
    gateway taken out.
    """

    model: str
    prompts: tuple[str | tuple[int, ...], ...]
    problems: tuple[Problem, ...]
    sampling: SamplingArgs
    control: Control
    seed: int | None = None
    n: int = 1
    stream: bool = False
    include_usage: bool = False
    top_logprobs: int | None = None
    echo: bool = False
    ignored: tuple[str, ...] = ()
    passed: Mapping[str, object] = field(default_factory=dict, hash=False)


def read_chat(body: object, limits: Limits | None = None, id: str = "request") -> ChatRequest:
    """Return what a chat request asks; `body` is what `read_json` returned. Raises `ApiError`, always a 400."""
    limits = limits or Limits()
    fields = _open(body)
    control = read_control(fields)
    ignored = [*control.ignored]
    model = fields.needs("model")
    fields.array("messages", limits.messages)
    messages = read_messages(fields, ignored)
    fields.array("tools", limits.tools)
    tools = read_tools(fields)
    sampling = _sampling(fields, limits)
    top = _chat_logprobs(fields, limits, sampling)
    seed, n = _seed(fields), fields.integer("n", 1, limits.n) or 1
    stream, include_usage = _stream(fields)
    response_format = _format(fields)
    problem = Problem(id, messages, tools, response_format, extra=_extra(fields))
    return ChatRequest(model, problem, sampling, control, seed, n, stream, include_usage, top, tuple(ignored))


def read_completion(body: object, limits: Limits | None = None, id: str = "request") -> CompletionRequest:
    """Return what a legacy completion request asks. Raises `ApiError`, always a 400."""
    limits = limits or Limits()
    fields = _open(body)
    control = read_control(fields)
    model = fields.needs("model")
    prompts = _prompts(fields, limits)
    sampling = _sampling(fields, limits)
    top = fields.integer("logprobs", 0, limits.top_logprobs)
    if top is not None:
        sampling["logprobs"] = max(1, top)
    seed, n = _seed(fields), fields.integer("n", 1, limits.n) or 1
    stream, include_usage = _stream(fields)
    echo = fields.flag("echo") or False
    extra = _extra(fields)
    problems = tuple(
        Problem(f"{id}-{i}" if i else id, (Message.of("user", prompt),), extra=extra)
        for i, prompt in enumerate(prompts)
        if isinstance(prompt, str)
    )
    passed = {name: value for name, value in fields.whole().items() if name != "ponder"}
    return CompletionRequest(
        model, prompts, problems, sampling, control, seed, n, stream, include_usage, top, echo, control.ignored, passed
    )


def _open(body: object) -> Fields:
    fields = Fields(body)
    if not fields.lacks(_FORBIDDEN):
        name = next(name for name in sorted(_FORBIDDEN) if fields.has(name))
        raise fields.wrong(name, "left out: upstreams and their keys are the gateway's matter", "forbidden_field")
    return fields


def _sampling(fields: Fields, limits: Limits) -> SamplingArgs:
    """Return how tokens are drawn, in ranges that `Sampling` takes too."""
    sampling: SamplingArgs = {}
    if (heat := fields.number("temperature", 0, 100)) is not None:
        sampling["temperature"] = heat
    if (share := fields.number("top_p", 0, 1)) is not None:
        if not share:
            raise fields.wrong("top_p", "above 0 and at most 1")
        sampling["top_p"] = share
    if (first := fields.integer("top_k", -1)) is not None:
        # -1 is how vLLM says that nothing is cut.
        sampling["top_k"] = max(0, first)
    if (least := fields.number("min_p", 0, 1)) is not None:
        sampling["min_p"] = least
    if stop := _stop(fields, limits):
        sampling["stop"] = stop
    if bias := _logit_bias(fields):
        sampling["logit_bias"] = bias
    bounds = [fields.integer(name, -1) for name in ("max_completion_tokens", "max_tokens")]
    for name, bound in zip(("max_completion_tokens", "max_tokens"), bounds, strict=True):
        if bound == 0:
            raise fields.wrong(name, "at least 1")
    # -1 is how llama.cpp and LM Studio say that there is no limit.
    if given := [bound for bound in bounds if bound is not None and bound > 0]:
        sampling["max_tokens"] = min(given)
    return sampling


def _stop(fields: Fields, limits: Limits) -> tuple[str, ...]:
    if isinstance(fields.take("stop"), str):
        return (fields.text("stop", empty=False) or "",)
    found: list[str] = []
    for i, item in enumerate(fields.array("stop", limits.stops) or ()):
        if not isinstance(item, str) or not item:
            raise fields.wrong(f"stop[{i}]", "a string that is not empty", "invalid_type")
        found.append(item)
    return tuple(dict.fromkeys(found))


def _logit_bias(fields: Fields) -> tuple[tuple[int, float], ...]:
    inner = fields.inner("logit_bias")
    if inner is None:
        return ()
    found: dict[int, float] = {}
    for name in inner.every():
        if not (name.isascii() and name.isdigit() and len(name) < 10):
            raise fields.wrong("logit_bias", f"an object whose names are token ids, not {shown(name)}")
        bias = inner.number(name, -100, 100)
        if bias is not None:
            found[int(name)] = bias
    return tuple(found.items())


def _chat_logprobs(fields: Fields, limits: Limits, sampling: SamplingArgs) -> int | None:
    """Return how many rivals to show. An engine is asked for one at least, as 0 is how it is asked for nothing."""
    top = fields.integer("top_logprobs", 0, limits.top_logprobs)
    if not fields.flag("logprobs"):
        if top:
            raise fields.wrong("top_logprobs", "left out where logprobs is not true")
        return None
    sampling["logprobs"] = max(1, top or 0)
    return top or 0


def _seed(fields: Fields) -> int | None:
    return fields.integer("seed", -(1 << 63), (1 << 63) - 1)


def _stream(fields: Fields) -> tuple[bool, bool]:
    """Return whether to stream, and whether to end with a chunk of usage."""
    options = fields.inner("stream_options")
    usage = options.flag("include_usage") if options is not None else None
    return fields.flag("stream") or False, usage or False


def _format(fields: Fields) -> str | None:
    """Return the response format as JSON text; `text` is what every reply is anyway."""
    inner = fields.inner("response_format")
    if inner is None:
        return None
    kind = inner.needs("type")
    if kind == "json_schema" and inner.inner("json_schema") is None:
        raise inner.wrong("json_schema", "an object with a schema", "missing_required_parameter")
    return None if kind == "text" else to_json(inner.every(), "response_format")


def _extra(fields: Fields) -> str:
    """Return all that nobody interprets, as JSON text for the upstream. Well-known fields are checked here already."""
    fields.number("presence_penalty", -2, 2)
    fields.number("frequency_penalty", -2, 2)
    fields.text("user")
    fields.flag("parallel_tool_calls")
    fields.inner("metadata")
    choice = fields.take("tool_choice")
    if choice is not None and not isinstance(choice, str | dict):
        raise fields.wrong("tool_choice", "a string or an object", "invalid_type")
    fields.leave("presence_penalty", "frequency_penalty", "user", "parallel_tool_calls", "metadata", "tool_choice")
    rest = fields.rest()
    return to_json(rest, None) if rest else ""


def _prompts(fields: Fields, limits: Limits) -> tuple[str | tuple[int, ...], ...]:
    """Return the prompts: a string, several, or either as token ids."""
    prompt = fields.take("prompt")
    if isinstance(prompt, str):
        return (prompt,)
    items = fields.array("prompt")
    if not items:
        raise fields.wrong("prompt", "a string, a list of strings, or token ids", "missing_required_parameter")
    if all(_is_id(item) for item in items):
        return (_ids(items),)
    if len(items) > limits.prompts:
        raise fields.wrong("prompt", f"a list of at most {limits.prompts} prompts, not {len(items)}")
    found: list[str | tuple[int, ...]] = []
    for i, item in enumerate(items):
        if isinstance(item, str):
            found.append(item)
        elif isinstance(item, list) and item and all(_is_id(one) for one in item):
            found.append(_ids(item))
        else:
            raise fields.wrong(f"prompt[{i}]", "a string or a list of token ids", "invalid_type")
    return tuple(found)


def _is_id(item: object) -> bool:
    return isinstance(item, int) and not isinstance(item, bool) and 0 <= item <= MAX_TOKENS


def _ids(items: list[object]) -> tuple[int, ...]:
    return tuple(item for item in items if isinstance(item, int))
