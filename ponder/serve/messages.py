"""A conversation as clients send it, with the thinking of earlier turns under whatever name it came."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast, get_args

from ponder.core.problem import Image, Message, MessageRole, Text, Tool, ToolCall
from ponder.serve.fail import ApiError
from ponder.serve.fields import Fields, Json, kind_of, note

_ROLES: tuple[MessageRole, ...] = get_args(MessageRole)
_TALKING: Mapping[str, MessageRole] = {role: role for role in _ROLES if role != "tool"}
_OPEN, _CLOSE = "<think>", "</think>"
_EMPTY: tuple[object, ...] = ("", [], {}, False)
_BLOCKS = ("thinking", "reasoning", "redacted_thinking")
_PARTS = ("text", "image_url", "input_text", "output_text", "refusal", *_BLOCKS)


def read_messages(body: Fields, ignored: list[str]) -> tuple[Message, ...]:
    """Return the conversation; names of fields that a message cannot carry go into `ignored`. Raises `ApiError`."""
    turns = body.array("messages")
    if not turns:
        code = "invalid_value" if body.has("messages") else "missing_required_parameter"
        raise body.wrong("messages", "an array of at least one message", code)
    return tuple(
        _plain(turn) or _message(Fields(turn, f"{body.path('messages')}[{i}]"), ignored) for i, turn in enumerate(turns)
    )


def read_tools(body: Fields) -> tuple[Tool, ...]:
    """Return the tools, each with its own JSON text, so that no field of it is lost. Raises `ApiError`."""
    for old, new in (("functions", "tools"), ("function_call", "tool_choice")):
        if body.take(old) is not None:
            raise body.wrong(old, f"left out: it is the old form of {new}; use that", "unsupported_parameter")
    tools: list[Tool] = []
    for spec in body.objects("tools"):
        kind = spec.text("type", empty=False) or "function"
        inner = spec.inner(kind) if kind == "function" or isinstance(spec.take(kind), dict) else None
        if kind == "function" and inner is None:
            raise spec.wrong("function", "an object with the function's name", "missing_required_parameter")
        name = inner.needs("name") if inner is not None else kind
        if any(tool.name == name for tool in tools):
            raise spec.wrong(kind, "a tool with a name of its own; two tools share one name")
        tools.append(Tool(name, to_json(spec.every(), f"tools[{len(tools)}]")))
    return tuple(tools)


def to_json(value: Json, where: str | None) -> str:
    """Return JSON text of what is passed on as it came. Raises `ApiError` for what JSON cannot say."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        message = f"{where or 'the body'} must be JSON: finite numbers, and not nested without end"
        raise ApiError.bad(where, message) from None


def _plain(turn: object) -> Message | None:
    """Return a turn that is a role and a string, as nearly all are; None for others, which are read field by field."""
    if not isinstance(turn, dict) or len(turn) != 2:
        return None
    name, content = turn.get("role"), turn.get("content")
    if not isinstance(name, str) or not isinstance(content, str) or content.startswith(_OPEN):
        return None
    role = _TALKING.get(name)
    return None if role is None else Message.of(role, content)


def _message(turn: Fields, ignored: list[str]) -> Message:
    role = cast("MessageRole | None", turn.choice("role", _ROLES))
    if role is None:
        raise turn.wrong("role", f"one of {', '.join(_ROLES)}", "missing_required_parameter")
    if role != "assistant" and not turn.has("content"):
        raise turn.wrong("content", "given: null, a string, or a list of parts", "missing_required_parameter")
    thought: list[str] = []
    parts = _content(turn, thought, ignored)
    reasoning = _reasoning(turn, ignored) or "\n".join(thought)
    calls = tuple(_tool_call(call, ignored) for call in turn.objects("tool_calls"))
    if role == "assistant":
        if not reasoning:
            reasoning, parts = _untag(parts)
    elif calls:
        raise turn.wrong("tool_calls", f"left out: a {role} message cannot call tools")
    elif reasoning:
        reasoning = ""
        note(ignored, f"messages.reasoning of a {role} message")
    call_id = turn.needs("tool_call_id") if role == "tool" else turn.text("tool_call_id")
    # Clients echo whole replies, with fields that are there and say nothing.
    for name, value in turn.rest().items():
        if value not in _EMPTY:
            note(ignored, f"messages.{name}")
    return Message(role, parts, calls, call_id, reasoning or None)


def _content(turn: Fields, thought: list[str], ignored: list[str]) -> tuple[Text | Image, ...]:
    """Return the parts of a content that is null, a string or a list; parts that are thinking go into `thought`."""
    content = turn.take("content")
    if content is None:
        return ()
    if isinstance(content, str):
        return (Text(content),)
    if not isinstance(content, list):
        raise turn.wrong("content", f"null, a string, or a list of parts, not {kind_of(content)}", "invalid_type")
    parts: list[Text | Image] = []
    for part in turn.objects("content"):
        kind = part.choice("type", _PARTS)
        if kind is None:
            raise part.wrong("type", f"one of {', '.join(_PARTS)}", "missing_required_parameter")
        if kind in _BLOCKS:
            thought.extend(_block(part, ignored))
        elif kind == "image_url":
            parts.append(_image(part, ignored))
        else:
            name = "refusal" if kind == "refusal" else "text"
            text = part.text(name)
            if text is None:
                raise part.wrong(name, "a string", "missing_required_parameter")
            parts.append(Text(text))
    return tuple(parts)


def _image(part: Fields, ignored: list[str]) -> Image:
    """Return a picture; its address goes upstream as it is, and never names a file of ours."""
    if isinstance(part.take("image_url"), str):
        url = part.needs("image_url")
    else:
        inner = part.inner("image_url")
        if inner is None:
            raise part.wrong("image_url", "an object with a url", "missing_required_parameter")
        url = inner.needs("url")
        if inner.text("detail") not in (None, "auto"):
            note(ignored, "messages.content.image_url.detail")
    if not url.startswith(("data:", "https://", "http://")):
        raise part.wrong("image_url", "a data: or https: address")
    return Image(url)


def _tool_call(call: Fields, ignored: list[str]) -> ToolCall:
    if call.choice("type", ("function",)) is None and not call.has("function"):
        raise call.wrong("function", "an object with name and arguments", "missing_required_parameter")
    function = call.inner("function")
    if function is None:
        raise call.wrong("function", "an object with name and arguments", "missing_required_parameter")
    read = ToolCall(call.needs("id"), function.needs("name"), function.text("arguments") or "")
    call.take("index")
    for name in call.rest():
        note(ignored, f"messages.tool_calls.{name}")
    return read


def _reasoning(turn: Fields, ignored: list[str]) -> str:
    """Return the thinking of an earlier turn. Clients echo one text under several names, so the first one counts."""
    plain = [turn.text(name) or "" for name in ("reasoning_content", "reasoning", "thinking")]
    blocks = [
        "\n".join(text for block in turn.objects(name) for text in _block(block, ignored))
        for name in ("thinking_blocks", "reasoning_details")
    ]
    return next((text for text in (*plain, *blocks) if text), "")


def _block(block: Fields, ignored: list[str]) -> list[str]:
    """Return the text of one block of thinking, in Anthropic's, OpenRouter's or Mistral's form."""
    kind = block.text("type") or ""
    if "redacted" in kind or "encrypted" in kind:
        note(ignored, f"messages.{kind}")
        return []
    if isinstance(block.take("thinking"), list):
        return [text for part in block.objects("thinking") if (text := part.text("text"))]
    for name in ("thinking", "text", "reasoning", "summary"):
        if text := block.text(name):
            return [text]
    return []


def _untag(parts: tuple[Text | Image, ...]) -> tuple[str, tuple[Text | Image, ...]]:
    """Split the thinking off an assistant's own text that begins with it: what `think_tags` sent comes back so.

    Only the assistant's text, and only at its very beginning: a tag in anybody else's text is text.
    """
    if parts and isinstance(parts[0], Text) and parts[0].text.startswith(_OPEN):
        thought, close, answer = parts[0].text[len(_OPEN) :].partition(_CLOSE)
        if close:
            return thought.strip("\n"), (Text(answer.lstrip("\n")), *parts[1:])
    return "", parts
