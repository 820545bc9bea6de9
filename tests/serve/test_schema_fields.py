"""The schema of requests beside what the gateway really reads: field by field, both must take and refuse the same."""

from __future__ import annotations

import ast
import inspect
from typing import Any

import pytest

from ponder.serve import control, request
from ponder.serve.fail import ApiError
from ponder.serve.request import Limits, read_chat, read_completion
from ponder.serve.schema_fields import chat_request, completion_request

Json = dict[str, Any]
CHAT: Json = chat_request(["m"], Limits())
OLD: Json = completion_request(["m"], Limits())
BODY: Json = {"model": "m", "messages": [{"role": "user", "content": "?"}]}


def accepts(schema: object, value: object) -> bool:
    """Whether a value is as a schema says: the part of JSON Schema that these schemas use."""
    assert isinstance(schema, dict)
    if "anyOf" in schema and not any(accepts(one, value) for one in schema["anyOf"]):
        return False
    if "enum" in schema and value not in schema["enum"]:
        return False
    if "const" in schema and value != schema["const"]:
        return False
    if "not" in schema and accepts(schema["not"], value):
        return False
    names = schema.get("type", [])
    if names and not any(is_a(value, name) for name in ([names] if isinstance(names, str) else names)):
        return False
    if isinstance(value, int | float) and not isinstance(value, bool):
        return in_range(schema, value)
    if isinstance(value, str):
        import re

        return len(value) >= schema.get("minLength", 0) and bool(re.search(schema.get("pattern", ""), value))
    if isinstance(value, list):
        sized = schema.get("minItems", 0) <= len(value) <= schema.get("maxItems", 1 << 30)
        return sized and all(accepts(schema.get("items", {}), item) for item in value)
    return not isinstance(value, dict) or accepts_object(schema, value)


def accepts_object(schema: Json, value: Json) -> bool:
    known, more = schema.get("properties", {}), schema.get("additionalProperties", {})
    if not set(schema.get("required", ())) <= set(value):
        return False
    if not all(accepts(schema.get("propertyNames", {}), name) for name in value):
        return False
    for name, item in value.items():
        if name in known:
            if not accepts(known[name], item):
                return False
        elif more is False or not accepts(more, item):
            return False
    return "if" not in schema or not accepts(schema["if"], value) or accepts(schema["then"], value)


def is_a(value: object, name: str) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    kinds = {
        "null": value is None,
        "boolean": isinstance(value, bool),
        "number": number,
        "integer": number and float(value) == int(value),  # type: ignore[arg-type]
        "string": isinstance(value, str),
        "array": isinstance(value, list),
        "object": isinstance(value, dict),
    }
    return kinds[name]


def in_range(schema: Json, value: float) -> bool:
    low, high = schema.get("minimum", float("-inf")), schema.get("maximum", float("inf"))
    return low <= value <= high and value > schema.get("exclusiveMinimum", float("-inf"))


def reads(body: Json) -> bool:
    """Whether the gateway reads a chat request."""
    try:
        read_chat(body)
    except ApiError:
        return False
    return True


VALUES: list[object] = [
    *(None, True, False, 0, 1, -1, -2, 2.5, 3.0, 17, 1 << 40),
    *("", "x", "none", "high", "auto", "enabled"),
    *([], ["a"], [""], [1]),
    *({}, {"a": 1}, {"effort": "high"}, {"effort": "nope"}, {"type": "disabled"}, {"type": "text"}),
    *({"type": "json_object"}, {"type": "json_schema"}, {"type": ""}, {"type": "json_schema", "json_schema": {}}),
    *({"budget_tokens": 5}, {"budget_tokens": "x"}, {"max_tokens": 0}, {"enabled": 1}, {"include_usage": True}),
    *({"5": 1}, {"5": 101}, {"include_usage": "yes"}, {"method": "auto"}, {"method": ""}, {"budget": 0}, {"budget": 5}),
    *({"nope": 1}, {"notes": True}, {"options": {"a": 1}}, {"reasoning_format": "none"}, {"enable_thinking": "x"}),
    *({"thinking_budget": 4}, {"thinking": False}),
]


@pytest.mark.parametrize("name", sorted(CHAT["properties"]))
def test_schema_and_gateway_take_and_refuse_the_same(name: str) -> None:
    schema = {**CHAT, "required": []}
    apart = []
    for value in VALUES:
        body = {**BODY, name: value}
        if name == "model" and value and isinstance(value, str):
            continue  # which names there are, the policies know
        if accepts({"properties": {name: CHAT["properties"][name]}, "type": "object"}, body) != reads(body):
            apart.append((value, reads(body)))
    # `top_logprobs` needs another field beside it, which the whole schema knows.
    if name == "top_logprobs":
        apart = [(value, read) for value, read in apart if accepts(schema, {**BODY, name: value}) != read]
    assert apart == []


MESSAGES: list[object] = [
    [], [{}], [{"role": "user"}], [{"role": "user", "content": None}], [{"role": "user", "content": 5}],
    [{"role": "user", "content": [{"type": "text", "text": "?"}]}], [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": [{"type": "video", "text": "?"}]}], [{"role": "robot", "content": "?"}],
    [{"role": "assistant"}], [{"role": "assistant", "reasoning_content": 5}], [{"role": "tool", "content": "42"}],
    [{"role": "tool", "content": "42", "tool_call_id": "c1"}], [{"role": "developer", "content": "?"}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}],
    [{"role": "assistant", "tool_calls": [{"id": "c1", "function": {"name": "f", "arguments": "{}"}}]}],
    [{"role": "assistant", "tool_calls": [{"function": {"name": "f"}}]}], [{"role": "user", "content": "?", "x": 5}],
    [{"role": "system", "content": None, "name": {}}], [{"role": "user", "content": "?", "name": "Ada"}],
    [{"role": "user", "content": "?", "tool_calls": [{"id": "c1", "function": {"name": "f"}}]}],
]  # fmt: skip


@pytest.mark.parametrize("messages", MESSAGES, ids=str)
def test_conversations_are_taken_and_refused_alike(messages: object) -> None:
    body = {**BODY, "messages": messages}
    assert accepts(CHAT, body) == reads(body)


@pytest.mark.parametrize(
    ("more", "good"),
    [
        ({"top_logprobs": 2}, False),
        ({"top_logprobs": 2, "logprobs": True}, True),
        ({"top_logprobs": 0}, True),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, True),
        ({"tools": [{"type": "function"}]}, False),
        ({"tools": [{"type": None, "function": {"name": "f"}}, {"function": {"name": "g"}}]}, True),
        ({"tools": [{}]}, False),
        ({"tools": [{"type": "", "function": {"name": "f"}}]}, False),
        ({"tools": [{"type": "web_search"}, {"type": "custom", "custom": {"name": "f"}}]}, True),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "s", "schema": {}}}}, True),
        ({"response_format": {"type": "json_schema"}}, False),
        ({"api_key": "k"}, False),
        ({"functions": []}, False),
        ({"some_field_of_an_upstream": {"deep": [1]}}, True),
    ],
)
def test_fields_that_belong_together(more: Json, good: bool) -> None:
    body = {**BODY, **more}
    assert accepts(CHAT, body) == reads(body) == good


@pytest.mark.parametrize(
    "prompt", ["", "x", [], ["a", "b"], [1, 2], [[1], [2]], [[]], [True], [-1], 5, None, {}, ["a", 1]], ids=str
)
def test_prompts_are_taken_and_refused_alike(prompt: object) -> None:
    body = {"model": "m", "prompt": prompt}
    try:
        read_completion(body)
        read = True
    except ApiError:
        read = False
    assert accepts(OLD, body) == read


def test_every_field_that_is_read_is_described() -> None:
    """Names of fields stand as first arguments of the reader's calls on the body itself."""
    readers = {
        "flag",
        "number",
        "integer",
        "choice",
        "text",
        "inner",
        "array",
        "take",
        "needs",
        "switch",
        "effort",
        "budget",
    }
    named = set()
    for module in (request, control):
        for node in ast.walk(ast.parse(inspect.getsource(module))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in readers):
                continue
            owners = [ast.unparse(node.func.value), *(ast.unparse(arg) for arg in node.args[:1])]
            if {"fields", "body"} & set(owners):
                named |= {
                    arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
                }
    assert {"temperature", "stream", "reasoning_effort", "enable_thinking"} <= named
    assert named - {"custom_logit_processor"} <= set(CHAT["properties"]) | set(OLD["properties"])
