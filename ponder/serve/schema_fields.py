"""The schemas of request bodies: every field that the gateway reads, null as absent, and whatever upstreams take."""

from __future__ import annotations

from collections.abc import Sequence

from ponder.core.problem import EFFORTS
from ponder.serve.control import FORMATS
from ponder.serve.fields import MAX_TOKENS, Json
from ponder.serve.request import Limits

_OPTIONAL_TEXT: Json = {"type": ["string", "null"]}
_OPTIONAL_FLAG: Json = {"type": ["boolean", "null"]}
_OPTIONAL_OBJECT: Json = {"type": ["object", "null"]}
_TOKENS: Json = {"type": ["integer", "null"], "minimum": -1, "maximum": MAX_TOKENS}
_LENGTH: Json = {**_TOKENS, "not": {"const": 0}}
_EFFORT: Json = {"enum": [*EFFORTS, "auto", "default", None]}
_ABSENT: Json = {"type": "null"}

_REFUSED = (
    *("api_base", "api_key", "api_version", "authorization", "base_url", "custom_llm_provider", "extra_headers"),
    *("headers", "organization"),
)
"""Fields that are refused, since a client must not choose the upstream or send it a key."""


def chat_request(models: Sequence[str], limits: Limits) -> Json:
    """Return the schema of a chat request; fields that it does not name go upstream as they are."""
    return {
        "type": "object",
        "required": ["model", "messages"],
        "properties": {
            "model": _model(models),
            "messages": {"type": "array", "minItems": 1, "maxItems": limits.messages, "items": _message()},
            "tools": {"type": ["array", "null"], "maxItems": limits.tools, "items": _tool()},
            "tool_choice": {"type": ["string", "object", "null"]},
            "parallel_tool_calls": _OPTIONAL_FLAG,
            "functions": _ABSENT,
            "function_call": _ABSENT,
            "response_format": _response_format(),
            "logprobs": _OPTIONAL_FLAG,
            "top_logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": limits.top_logprobs},
            **_shared(limits),
            **_thinking(),
        },
        # Rivals are only shown beside log-probabilities.
        "if": {"required": ["top_logprobs"], "properties": {"top_logprobs": {"type": "integer", "minimum": 1}}},
        "then": {"required": ["logprobs"], "properties": {"logprobs": {"const": True}}},
    }


def completion_request(models: Sequence[str], limits: Limits) -> Json:
    """Return the schema of a legacy completion request."""
    ids: Json = {"type": "array", "minItems": 1, "items": {"type": "integer", "minimum": 0, "maximum": MAX_TOKENS}}
    several: Json = {"type": "array", "minItems": 1, "maxItems": limits.prompts, "items": {"type": "string"}}
    return {
        "type": "object",
        "required": ["model", "prompt"],
        "properties": {
            "model": _model(models),
            "prompt": {"anyOf": [{"type": "string"}, several, ids, {**several, "items": ids}]},
            "echo": _OPTIONAL_FLAG,
            "logprobs": {"type": ["integer", "null"], "minimum": 0, "maximum": limits.top_logprobs},
            **_shared(limits),
            **_thinking(),
        },
    }


def _model(models: Sequence[str]) -> Json:
    return {
        "type": "string",
        "enum": [*models, "default"],
        "description": "A name of /models, with a method or without.",
    }


def _shared(limits: Limits) -> Json:
    """What chats and legacy completions have in common."""
    penalty: Json = {"type": ["number", "null"], "minimum": -2, "maximum": 2}
    stop: Json = {"type": "string", "minLength": 1}
    return {
        "stream": _OPTIONAL_FLAG,
        "stream_options": {"type": ["object", "null"], "properties": {"include_usage": _OPTIONAL_FLAG}},
        "n": {"type": ["integer", "null"], "minimum": 1, "maximum": limits.n},
        "seed": {"type": ["integer", "null"], "minimum": -(1 << 63), "maximum": (1 << 63) - 1},
        "temperature": {"type": ["number", "null"], "minimum": 0, "maximum": 100},
        "top_p": {"type": ["number", "null"], "exclusiveMinimum": 0, "maximum": 1},
        "top_k": _TOKENS,
        "min_p": {"type": ["number", "null"], "minimum": 0, "maximum": 1},
        "max_tokens": {**_LENGTH, "description": "Of the reply, thinking included; -1 is no bound."},
        "max_completion_tokens": _LENGTH,
        "stop": {"anyOf": [_ABSENT, stop, {"type": "array", "maxItems": limits.stops, "items": stop}]},
        "logit_bias": {
            "type": ["object", "null"],
            "propertyNames": {"pattern": "^[0-9]{1,9}$"},
            "additionalProperties": {"type": ["number", "null"], "minimum": -100, "maximum": 100},
        },
        "presence_penalty": penalty,
        "frequency_penalty": penalty,
        "user": _OPTIONAL_TEXT,
        "metadata": _OPTIONAL_OBJECT,
        **{name: {"not": {}} for name in _REFUSED},
    }


def _thinking() -> Json:
    """How much to think, in every dialect: a number beats a label, and off beats everything."""
    return {
        "ponder": _own(),
        "reasoning_effort": _EFFORT,
        "output_config": {"type": ["object", "null"], "properties": {"effort": _EFFORT}},
        "thinking": {
            "type": ["object", "null"],
            "properties": {
                "type": {"enum": ["enabled", "disabled", "adaptive", "auto", None]},
                "budget_tokens": _TOKENS,
            },
        },
        "reasoning": {
            "type": ["object", "null"],
            "properties": {
                "effort": _EFFORT,
                "max_tokens": _TOKENS,
                "enabled": _OPTIONAL_FLAG,
                "exclude": _OPTIONAL_FLAG,
            },
        },
        "enable_thinking": _OPTIONAL_FLAG,
        "think": {"anyOf": [_OPTIONAL_FLAG, _EFFORT]},
        "thinking_budget": _TOKENS,
        "thinking_token_budget": _TOKENS,
        "thinking_budget_tokens": _TOKENS,
        "chat_template_kwargs": {
            "type": ["object", "null"],
            "properties": {
                "enable_thinking": _OPTIONAL_FLAG,
                "thinking": _OPTIONAL_FLAG,
                "reasoning_effort": _EFFORT,
                "thinking_budget": _TOKENS,
            },
        },
        "custom_params": {"type": ["object", "null"], "properties": {"thinking_budget": _TOKENS}},
        "reasoning_format": {
            "enum": [*FORMATS, "auto", "parsed", "deepseek", "deepseek-legacy", "raw", "hidden", None]
        },
        "include_reasoning": _OPTIONAL_FLAG,
        "separate_reasoning": _OPTIONAL_FLAG,
        "stream_reasoning": _OPTIONAL_FLAG,
    }


def _own() -> Json:
    """The one object that is ours; an unknown field in it is an error."""
    return {
        "type": ["object", "null"],
        "additionalProperties": False,
        "properties": {
            "method": {"type": ["string", "null"], "minLength": 1, "description": "A method, whatever the model's is."},
            "options": {**_OPTIONAL_OBJECT, "description": "Fields of the method."},
            "budget": {
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": MAX_TOKENS,
                "description": "Tokens that everything the request causes may generate together.",
            },
            "reasoning_format": {"enum": [*FORMATS, None]},
            "notes": _OPTIONAL_FLAG,
        },
    }


def _message() -> Json:
    """One turn: an assistant's may lack content, a tool's names the call that it answers."""
    content: Json = {"anyOf": [_OPTIONAL_TEXT, {"type": "array", "items": _part()}]}
    plain: Json = {"role": {"enum": ["system", "developer", "user"]}, "content": content}
    assistant: Json = {
        "role": {"const": "assistant"},
        "content": content,
        "reasoning_content": _OPTIONAL_TEXT,
        "reasoning": _OPTIONAL_TEXT,
        "tool_calls": {"type": ["array", "null"], "items": _tool_call()},
    }
    tool: Json = {"role": {"const": "tool"}, "content": content, "tool_call_id": {"type": "string", "minLength": 1}}
    return {
        "anyOf": [
            # What the others carry is refused here where it is not null; other fields are listed as ignored.
            {
                "type": "object",
                "required": ["role", "content"],
                "properties": {**plain, "tool_call_id": _OPTIONAL_TEXT, "tool_calls": _ABSENT},
            },
            {"type": "object", "required": ["role"], "properties": {**assistant, "tool_call_id": _OPTIONAL_TEXT}},
            {"type": "object", "required": ["role", "content", "tool_call_id"], "properties": tool},
        ]
    }


def _part() -> Json:
    address: Json = {"type": "string", "pattern": "^(data:|https?://)"}
    image: Json = {"type": "object", "required": ["url"], "properties": {"url": address, "detail": _OPTIONAL_TEXT}}
    text: Json = {"type": "string"}
    kinds = {"enum": ["text", "input_text", "output_text"]}
    return {
        "anyOf": [
            {"type": "object", "required": ["type", "text"], "properties": {"type": kinds, "text": text}},
            {
                "type": "object",
                "required": ["type", "image_url"],
                "properties": {"type": {"const": "image_url"}, "image_url": {"anyOf": [address, image]}},
            },
        ]
    }


def _tool_call() -> Json:
    function: Json = {
        "type": "object",
        "required": ["name"],
        "properties": {"name": {"type": "string", "minLength": 1}, "arguments": _OPTIONAL_TEXT},
    }
    return {
        "type": "object",
        "required": ["id", "function"],
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "type": {"enum": ["function", None]},
            "function": function,
        },
    }


def _tool() -> Json:
    """A tool needs a name; the rest of it is the upstream's matter. One without a type is a function."""
    name: Json = {"type": "string", "minLength": 1}
    function: Json = {"type": "object", "required": ["name"], "properties": {"name": name}}
    kind: Json = {"enum": ["function", None]}
    other: Json = {"type": "string", "minLength": 1, "not": {"const": "function"}}
    return {
        "type": "object",
        "anyOf": [
            {"required": ["function"], "properties": {"type": kind, "function": function}},
            {"required": ["type"], "properties": {"type": other}},
        ],
    }


def _response_format() -> Json:
    schema: Json = {"type": "object"}
    other: Json = {
        "type": "string",
        "minLength": 1,
        "not": {"const": "json_schema"},
        "examples": ["json_object", "text"],
    }
    return {
        "anyOf": [
            _ABSENT,
            {"type": "object", "required": ["type"], "properties": {"type": other}},
            {
                "type": "object",
                "required": ["type", "json_schema"],
                "properties": {"type": {"const": "json_schema"}, "json_schema": schema},
            },
        ]
    }
