"""Conversations as clients send them: content in every form, tools, pictures, and thinking under any name."""

from __future__ import annotations

import json

import pytest

from ponder.core.problem import Image, Message, Text, Tool, ToolCall
from ponder.serve.fail import ApiError
from ponder.serve.fields import Fields
from ponder.serve.messages import read_messages, read_tools

CALL = {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
PNG = "data:image/png;base64,iVBORw0KGgo="


def read(*turns: object) -> tuple[Message, ...]:
    return read_messages(Fields({"messages": list(turns)}), [])


def ignored(*turns: object) -> list[str]:
    found: list[str] = []
    read_messages(Fields({"messages": list(turns)}), found)
    return found


def refused(*turns: object) -> ApiError:
    with pytest.raises(ApiError) as caught:
        read(*turns)
    assert (caught.value.status, caught.value.type) == (400, "invalid_request_error")
    assert caught.value.param is not None
    return caught.value


def user(content: object) -> dict[str, object]:
    return {"role": "user", "content": content}


def assistant(**more: object) -> dict[str, object]:
    return {"role": "assistant", "content": "4", **more}


# Content and roles


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        (None, ()),
        ("", (Text(""),)),
        ("2+2?", (Text("2+2?"),)),
        ([], ()),
        ([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}], (Text("a"), Text("b"))),
        ([{"type": "input_text", "text": "a"}, {"type": "output_text", "text": ""}], (Text("a"), Text(""))),
        ([{"type": "refusal", "refusal": "no"}], (Text("no"),)),
        (
            [{"type": "text", "text": "see"}, {"type": "image_url", "image_url": {"url": PNG}}],
            (Text("see"), Image(PNG)),
        ),
        ([{"type": "image_url", "image_url": "https://example.org/a.png"}], (Image("https://example.org/a.png"),)),
    ],
)
@pytest.mark.parametrize("role", ["system", "developer", "user", "assistant"])
def test_content_may_be_null_a_string_or_parts(role: str, content: object, parts: tuple[Text | Image, ...]) -> None:
    """Content may be null, a string, or a list of parts; roles `developer`, `tool`"""
    (message,) = read({"role": role, "content": content})
    assert (message.role, message.parts) == (role, parts)


def test_a_tools_reply() -> None:
    (message,) = read({"role": "tool", "content": "3", "tool_call_id": "call_1"})
    assert message == Message("tool", (Text("3"),), tool_call_id="call_1")


def test_an_assistants_content_may_be_missing() -> None:
    (message,) = read({"role": "assistant", "tool_calls": [CALL]})
    assert message == Message("assistant", (), (ToolCall("call_1", "add", '{"a": 1}'),))


def test_a_whole_conversation_keeps_its_order() -> None:
    turns = read(
        {"role": "developer", "content": "Be brief."},
        user("1+1, with the tool"),
        {"role": "assistant", "content": None, "tool_calls": [CALL, {**CALL, "id": "call_2"}]},
        {"role": "tool", "content": "2", "tool_call_id": "call_1"},
        {"role": "tool", "content": [{"type": "text", "text": "2"}], "tool_call_id": "call_2"},
        assistant(),
    )
    assert [turn.role for turn in turns] == ["developer", "user", "assistant", "tool", "tool", "assistant"]
    assert [call.id for call in turns[2].tool_calls] == ["call_1", "call_2"]


@pytest.mark.parametrize("arguments", ['{"a": 1}', "", "not json at all", '{"a":\n 1}'])
def test_arguments_stay_as_the_model_wrote_them(arguments: str) -> None:
    call = {"id": "c", "function": {"name": "add", "arguments": arguments}}
    assert read(assistant(tool_calls=[call]))[0].tool_calls == (ToolCall("c", "add", arguments),)


@pytest.mark.parametrize(
    ("turn", "param", "code"),
    [
        (5, "messages[0]", "invalid_type"),
        (None, "messages[0]", "invalid_type"),
        ("hi", "messages[0]", "invalid_type"),
        ({}, "messages[0].role", "missing_required_parameter"),
        ({"content": "x"}, "messages[0].role", "missing_required_parameter"),
        ({"role": "user"}, "messages[0].content", "missing_required_parameter"),
        ({"role": "system"}, "messages[0].content", "missing_required_parameter"),
        ({"role": "assitant", "content": "x"}, "messages[0].role", "invalid_value"),
        ({"role": "function", "content": "x"}, "messages[0].role", "invalid_value"),
        ({"role": 1, "content": "x"}, "messages[0].role", "invalid_type"),
        (user(5), "messages[0].content", "invalid_type"),
        (user(True), "messages[0].content", "invalid_type"),
        (user({"type": "text", "text": "x"}), "messages[0].content", "invalid_type"),
        (user(["x"]), "messages[0].content[0]", "invalid_type"),
        (user([None]), "messages[0].content[0]", "invalid_type"),
        (user([{"text": "x"}]), "messages[0].content[0].type", "missing_required_parameter"),
        (user([{"type": "text"}]), "messages[0].content[0].text", "missing_required_parameter"),
        (user([{"type": "text", "text": 1}]), "messages[0].content[0].text", "invalid_type"),
        (user([{"type": "input_audio", "input_audio": {}}]), "messages[0].content[0].type", "invalid_value"),
        (user([{"type": "image_url"}]), "messages[0].content[0].image_url", "missing_required_parameter"),
        (user([{"type": "image_url", "image_url": {}}]), "messages[0].content[0].image_url.url", None),
        (user([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]), None, "invalid_value"),
        (user([{"type": "image_url", "image_url": "/etc/passwd"}]), None, "invalid_value"),
        ({**user("x"), "tool_calls": [CALL]}, "messages[0].tool_calls", "invalid_value"),
        ({"role": "tool", "content": "3"}, "messages[0].tool_call_id", "missing_required_parameter"),
        ({"role": "tool", "content": "3", "tool_call_id": 3}, "messages[0].tool_call_id", "invalid_type"),
        (assistant(tool_calls={}), "messages[0].tool_calls", "invalid_type"),
        (assistant(tool_calls=[1]), "messages[0].tool_calls[0]", "invalid_type"),
        (assistant(tool_calls=[{}]), "messages[0].tool_calls[0].function", "missing_required_parameter"),
        (
            assistant(tool_calls=[{"type": "custom", "custom": {}}]),
            "messages[0].tool_calls[0].type",
            "invalid_value",
        ),
        (assistant(tool_calls=[{**CALL, "id": None}]), "messages[0].tool_calls[0].id", "missing_required_parameter"),
        (
            assistant(tool_calls=[{"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}]),
            "messages[0].tool_calls[0].function.arguments",
            "invalid_type",
        ),
        (assistant(reasoning_content=5), "messages[0].reasoning_content", "invalid_type"),
        (assistant(reasoning={"text": "x"}), "messages[0].reasoning", "invalid_type"),
        (assistant(reasoning_details="x"), "messages[0].reasoning_details", "invalid_type"),
        (assistant(thinking_blocks=[1]), "messages[0].thinking_blocks[0]", "invalid_type"),
    ],
)
def test_a_wrong_message_is_refused_by_its_place(turn: object, param: str | None, code: str | None) -> None:
    error = refused(turn)
    assert param is None or error.param == param
    assert code is None or error.code == code


@pytest.mark.parametrize("messages", [None, [], {}, "hi", 5])
def test_a_conversation_has_a_message(messages: object) -> None:
    with pytest.raises(ApiError) as caught:
        read_messages(Fields({"messages": messages}), [])
    assert (caught.value.status, caught.value.param) == (400, "messages")


def test_no_conversation_at_all() -> None:
    with pytest.raises(ApiError) as caught:
        read_messages(Fields({}), [])
    assert caught.value.code == "missing_required_parameter"


# Thinking of earlier turns


@pytest.mark.parametrize(
    "said",
    [
        {"reasoning_content": "2 and 2"},
        {"reasoning": "2 and 2"},
        {"thinking": "2 and 2"},
        {"reasoning_content": "2 and 2", "reasoning": "2 and 2"},
        {"reasoning_content": None, "reasoning": "2 and 2"},
        {"reasoning_content": "", "reasoning": "2 and 2"},
        {"reasoning_details": [{"type": "reasoning.text", "text": "2 and 2", "format": "unknown", "index": 0}]},
        {"reasoning_details": [{"type": "reasoning.summary", "summary": "2 and 2"}]},
        {"thinking_blocks": [{"type": "thinking", "thinking": "2 and 2", "signature": "c2ln"}]},
        {
            "reasoning": "2 and 2",
            "reasoning_details": [{"type": "reasoning.text", "text": "2 and 2"}],
        },
        {"content": [{"type": "thinking", "thinking": "2 and 2"}, {"type": "text", "text": "4"}]},
        {
            "content": [
                {"type": "thinking", "thinking": [{"type": "text", "text": "2 and 2"}]},
                {"type": "text", "text": "4"},
            ]
        },
        {"content": [{"type": "reasoning", "reasoning": "2 and 2"}, {"type": "text", "text": "4"}]},
        {"content": "<think>\n2 and 2\n</think>\n\n4"},
        {"content": [{"type": "text", "text": "<think>2 and 2</think>4"}]},
    ],
)
def test_thinking_of_an_earlier_turn_under_any_name(said: dict[str, object]) -> None:
    """Accept either name (and `reasoning_details`, `thinking_blocks`) on incoming assistant messages."""
    assert read(assistant(**said)) == (Message("assistant", (Text("4"),), reasoning="2 and 2"),)


def test_several_blocks_are_one_thought() -> None:
    blocks = [{"type": "thinking", "thinking": "a"}, {"type": "thinking", "thinking": "b"}]
    assert read(assistant(thinking_blocks=blocks))[0].reasoning == "a\nb"


def test_thinking_stays_with_calls_of_tools() -> None:
    """Echo reasoning back across tool calls: with tool calls the past `reasoning_content` must be sent back."""
    turn = {"role": "assistant", "content": None, "reasoning_content": "use the tool", "tool_calls": [CALL]}
    (message,) = read(turn)
    assert message.reasoning == "use the tool"
    assert message.tool_calls[0].name == "add"


@pytest.mark.parametrize("empty", ["", None, []])
def test_no_thinking_is_none(empty: object) -> None:
    name = "reasoning_details" if empty == [] else "reasoning_content"
    assert read(assistant(**{name: empty}))[0].reasoning is None


@pytest.mark.parametrize("role", ["user", "system", "developer"])
@pytest.mark.parametrize(
    "text", ["<think>is this a tag?</think> yes or no", "</think>", "/think 2+2?", "/no_think 2+2?", "<think>"]
)
def test_tags_in_anybody_elses_text_are_text(role: str, text: str) -> None:
    """A `<think>` tag inside the user's text must not be taken for thinking; /think and /no_think are left alone."""
    assert read({"role": role, "content": text}) == (Message.of(role, text),)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "text", ["see <think>this</think>", "<think>never closed", "closed</think> only", "<thinking>"]
)
def test_tags_within_an_answer_are_text(text: str) -> None:
    assert read(assistant(content=text)) == (Message.of("assistant", text),)


def test_text_is_not_split_where_thinking_came_in_a_field() -> None:
    (message,) = read(assistant(content="<think>a</think>b", reasoning_content="c"))
    assert (message.text, message.reasoning) == ("<think>a</think>b", "c")


# What cannot be carried is said


@pytest.mark.parametrize(
    ("turn", "names"),
    [
        (user("x"), []),
        ({**user("x"), "name": "ada"}, ["messages.name"]),
        ({**user("x"), "name": None}, []),
        (assistant(refusal=None, annotations=[], audio=None, function_call=None), []),
        (assistant(prefix=True), ["messages.prefix"]),
        ({**user("x"), "reasoning": "why"}, ["messages.reasoning of a user message"]),
        (assistant(tool_calls=[{**CALL, "index": 0}]), []),
        (assistant(tool_calls=[{**CALL, "extra_content": {"google": {}}}]), ["messages.tool_calls.extra_content"]),
        (
            assistant(reasoning_details=[{"type": "reasoning.encrypted", "data": "x"}]),
            ["messages.reasoning.encrypted"],
        ),
        (
            assistant(thinking_blocks=[{"type": "redacted_thinking", "data": "x"}]),
            ["messages.redacted_thinking"],
        ),
        (
            user([{"type": "image_url", "image_url": {"url": PNG, "detail": "high"}}]),
            ["messages.content.image_url.detail"],
        ),
        (user([{"type": "image_url", "image_url": {"url": PNG, "detail": "auto"}}]), []),
    ],
)
def test_what_is_dropped_is_named(turn: object, names: list[str]) -> None:
    """never drop silently"""
    assert ignored(turn) == names


# Tools


def tools(*specs: object) -> tuple[Tool, ...]:
    return read_tools(Fields({"tools": list(specs)}))


def test_a_tools_own_text_is_kept_whole() -> None:
    spec = {
        "type": "function",
        "function": {"name": "add", "parameters": {"type": "object", "ünï": [1.5, None]}, "strict": True},
        "cache_control": {"type": "ephemeral"},
    }
    (tool,) = tools(spec)
    assert tool.name == "add"
    assert json.loads(tool.spec) == spec


def test_other_kinds_of_tools_pass() -> None:
    found = tools({"type": "custom", "custom": {"name": "grep"}}, {"type": "web_search", "web_search": {"name": "w"}})
    assert [tool.name for tool in found] == ["grep", "w"]
    assert tools({"type": "web_search_preview"})[0].name == "web_search_preview"


@pytest.mark.parametrize("none", [None, []])
def test_no_tools(none: object) -> None:
    assert read_tools(Fields({"tools": none})) == ()


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": {}}, "tools"),
        ({"tools": ["add"]}, "tools[0]"),
        ({"tools": [{}]}, "tools[0].function"),
        ({"tools": [{"type": "function"}]}, "tools[0].function"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": {"name": ""}}]}, "tools[0].function.name"),
        ({"tools": [{"type": "function", "function": "add"}]}, "tools[0].function"),
        ({"tools": [{"type": 5}]}, "tools[0].type"),
        ({"tools": [{"function": {"name": "a"}}, {"function": {"name": "a"}}]}, "tools[1].function"),
        ({"tools": [{"function": {"name": "a", "parameters": {"x": float("nan")}}}]}, "tools[0]"),
        ({"functions": [{"name": "a"}]}, "functions"),
        ({"function_call": "auto"}, "function_call"),
    ],
)
def test_wrong_tools_are_refused(body: dict[str, object], param: str) -> None:
    with pytest.raises(ApiError) as caught:
        read_tools(Fields(body))
    assert (caught.value.status, caught.value.param) == (400, param)
