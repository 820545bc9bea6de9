"""Chat templates: a conversation as the text that the model reads, rendered as the model's own tokenizer would.

A template comes with the model and may come from anywhere, so it runs in jinja2's sandbox and can change nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import NoReturn

from jinja2 import Template, TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from ponder.core.engine import Think
from ponder.core.errors import DataError, OptionError
from ponder.core.problem import Message, Prompt, Text, Thinking
from ponder.text.escape import USUAL

MARKS = USUAL
"""How models mark their thinking: Qwen, DeepSeek and most others; Mistral; Kimi; Seed; Gemma; Harmony."""


class ChatTemplate:
    """One model's template. `variables` are what the tokenizer adds, such as `bos_token`."""

    def __init__(
        self, source: str, variables: Mapping[str, str] | None = None, where: str = "the chat template"
    ) -> None:
        self.source = source
        self._where = where
        self._variables = dict(variables or {})
        try:
            self._template: Template = _environment().from_string(source)
        except TemplateError as error:
            raise DataError(f"{where} is not a template that jinja2 reads: {error}") from None

    @classmethod
    def load(cls, path: Path) -> ChatTemplate:
        """Read a `.jinja` file, a `tokenizer_config.json`, or a model's folder. Raises `DataError`."""
        try:
            if path.is_dir():
                config, plain = path / "tokenizer_config.json", path / "chat_template.jinja"
                settings = _json(config) if config.exists() else {}
                source = plain.read_text("utf-8") if plain.exists() else _template_in(settings, config)
                return cls(source, _special_tokens(settings), str(path))
            if path.suffix == ".json":
                settings = _json(path)
                return cls(_template_in(settings, path), _special_tokens(settings), str(path))
            beside = path.with_name("tokenizer_config.json")
            tokens = _special_tokens(_json(beside)) if beside.exists() else {}
            return cls(path.read_text("utf-8"), tokens, str(path))._complete()
        except OSError as error:
            raise DataError(f"the chat template {path} cannot be read ({error.strerror}); check the path") from None
        except UnicodeDecodeError:
            raise DataError(f"the chat template {path} is not UTF-8 text; give the .jinja file or its folder") from None

    def _complete(self) -> ChatTemplate:
        """Refuse a template without its mark of beginning: the model would answer worse, and nothing would tell."""
        if "bos_token" not in self._variables and re.search(r"\{\{[^}]*\bbos_token\b", self.source):
            raise DataError(
                f"{self._where} writes bos_token and does not say what it is; "
                "put the model's tokenizer_config.json beside it, or give the model's folder"
            )
        return self

    def render(self, prompt: Prompt, *, reply: bool = True) -> str:
        """Return the text of the conversation; with `reply`, up to where the model's own turn begins.

        The prefill is not part of it. Raises `DataError` where the template refuses the conversation.
        """
        variables: dict[str, object] = {**self._variables, **template_variables(prompt)}
        if prompt.tools:
            variables["tools"] = [json.loads(tool.spec) for tool in prompt.tools]
        try:
            return self._template.render(
                messages=[_message(message) for message in prompt.messages], add_generation_prompt=reply, **variables
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise DataError(f"{self._where} refuses this conversation: {error}") from None

    def think(self) -> Think:
        """Return how the model marks its thinking, as its template tells; an empty `Think` where it does not think."""
        opening, closing = marks_in(self.source)
        shown = self.render(Prompt((Message.of("user", "?"),))) if opening else ""
        return Think(opening, closing, opened=ends_open(shown, opening))


def marks_in(source: str) -> tuple[str, str]:
    """Return the marks that a template speaks of, the closing or the opening one, or two empty strings."""
    return next((pair for pair in MARKS if pair[1] in source or pair[0] in source), ("", ""))


def ends_open(rendered: str, opening: str) -> bool:
    """Say whether a rendered conversation ends inside a thought: its template has written the opening mark."""
    return bool(opening) and rendered.rstrip().endswith(opening)


def template_options(thinking: Thinking | None) -> dict[str, object]:
    """Return the variables by which templates are asked to think or not: Qwen's name, and DeepSeek's."""
    if thinking is None:
        return {}
    if thinking.mode == "effort":
        return {"reasoning_effort": thinking.label}
    return {"enable_thinking": thinking.mode != "off", "thinking": thinking.mode != "off"}


def template_variables(prompt: Prompt) -> dict[str, object]:
    """Return the client's own variables for the template, and over them those that ask for thinking or none."""
    own = further_fields(prompt.extra).get("chat_template_kwargs")
    return {**(own if isinstance(own, dict) else {}), **template_options(prompt.thinking)}


def further_fields(extra: str) -> dict[str, object]:
    """Return the fields that `Prompt.extra` spells. Raises `OptionError` unless it is the JSON text of an object."""
    if not extra:
        return {}
    try:
        fields = json.loads(extra)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        raise OptionError(f"the further fields of a request are no JSON object: {extra[:60]!r}; give one as text")
    return fields


def _message(message: Message) -> dict[str, object]:
    turn: dict[str, object] = {"role": message.role, "content": message.text}
    if any(not isinstance(part, Text) for part in message.parts):
        turn["content"] = [
            {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"}
            for part in message.parts
        ]
    if message.reasoning is not None:
        turn["reasoning_content"] = message.reasoning
    if message.tool_calls:
        # Templates write the arguments out as JSON themselves; a string would be quoted twice.
        turn["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": _object(call.arguments)}}
            for call in message.tool_calls
        ]
    if message.tool_call_id is not None:
        turn["tool_call_id"] = message.tool_call_id
    return turn


def _object(arguments: str) -> object:
    try:
        return json.loads(arguments)
    except ValueError:
        return arguments


def _json(path: Path) -> dict[str, object]:
    try:
        settings = json.loads(path.read_text("utf-8"))
    except ValueError:
        raise DataError(f"{path} is not JSON; get it again from the model's source") from None
    return settings if isinstance(settings, dict) else {}


def _template_in(settings: Mapping[str, object], path: Path) -> str:
    found = settings.get("chat_template")
    if isinstance(found, Sequence) and not isinstance(found, str):
        named = {str(entry["name"]): str(entry["template"]) for entry in found}
        found = named.get("default")
    if not isinstance(found, str):
        raise DataError(f"{path} holds no chat template; give a .jinja file of the model instead")
    return found


def _special_tokens(settings: Mapping[str, object]) -> dict[str, str]:
    found: dict[str, str] = {}
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        value = settings.get(name)
        if isinstance(value, Mapping):
            value = value.get("content")
        if isinstance(value, str):
            found[name] = value
    return found


class _Generation(Extension):
    """Reads `{% generation %}`, by which templates mark replies for training, and leaves its content as it is."""

    tags = {"generation"}  # noqa: RUF012 (jinja2 declares it so)

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _tojson
    refuse: Callable[[str], NoReturn] = _refuse
    environment.globals["raise_exception"] = refuse
    environment.globals["strftime_now"] = _now
    return environment


def _tojson(value: object, indent: int | None = None, ensure_ascii: bool = False) -> str:
    """Write JSON as tokenizers do; jinja2's own filter would escape it for HTML."""
    return json.dumps(value, indent=indent, ensure_ascii=ensure_ascii)


def _refuse(message: str) -> NoReturn:
    raise TemplateError(message)


def _now(layout: str) -> str:
    return datetime.now().strftime(layout)
