"""What a request says about its thinking, in any of the dialects that clients speak, as one value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, cast, get_args

from ponder.core.config import Value
from ponder.core.problem import EFFORTS, Thinking
from ponder.serve.fields import Fields, kind_of, note

ReasoningFormat = Literal["both", "reasoning_content", "reasoning", "think_tags", "none"]
FORMATS: tuple[ReasoningFormat, ...] = get_args(ReasoningFormat)

_TOP_FORMATS: Mapping[str, ReasoningFormat | None] = {
    "both": "both",
    "reasoning_content": "reasoning_content",
    "reasoning": "reasoning",
    "think_tags": "think_tags",
    "auto": None,
    "parsed": None,
    "deepseek": "reasoning_content",
    "deepseek-legacy": "both",
    "raw": "think_tags",
    "none": "think_tags",
    "hidden": "none",
}
"""What `reasoning_format` outside of `ponder` means. It is others' field: llama.cpp's `none` leaves the thought in the
text, Groq's `hidden` drops it."""

_NO_WISH = ("auto", "default")
"""Effort labels of some services that leave the choice to the server."""

_PONDER = ("method", "options", "budget", "reasoning_format", "notes")

_FIELDS = frozenset(
    {"chat_template_kwargs", "custom_logit_processor", "custom_params", "enable_thinking", "include_reasoning"}
    | {"output_config", "ponder", "reasoning", "reasoning_effort", "reasoning_format", "separate_reasoning"}
    | {"stream_reasoning", "think", "thinking", "thinking_budget", "thinking_budget_tokens", "thinking_token_budget"}
)
"""Every field that is read here."""


@dataclass(frozen=True, slots=True)
class Control:
    """How a request wants its thinking.

    `thinking` is what the client said: a number beats a label, and off beats everything. `source` is the field that
    decided it, as a path (`chat_template_kwargs.enable_thinking`). `method`, `options`, `budget` (tokens that the whole
    request may generate) and `notes` come from the `ponder` object. `ignored` names fields that were understood and
    cannot be kept.
    """

    thinking: Thinking | None = None
    method: str | None = None
    options: Mapping[str, Value] = field(default_factory=dict, hash=False)
    budget: int | None = None
    reasoning_format: ReasoningFormat | None = None
    notes: bool | None = None
    source: str = ""
    ignored: tuple[str, ...] = ()


def read_control(body: Fields) -> Control:
    """Take every field that controls thinking out of a request. Raises `ApiError` 400."""
    if body.lacks(_FIELDS):
        return Control()
    wishes = _Wishes()
    kept = _Kept()
    _labels(body, wishes)
    _budgets(body, wishes)
    _objects(body, wishes, kept)
    _templates(body, wishes)
    thinking, source = wishes.decide()
    own = _read_own(body.inner("ponder"))
    # Both are read, whichever counts: a field that is left unread would go upstream.
    others = _read_format(body, kept)
    chosen = own.reasoning_format or others
    return Control(thinking, own.method, own.options, own.budget, chosen, own.notes, source, tuple(kept.ignored))


def strongest(
    request: Thinking | None, named: Thinking | None, route: Thinking | None, default: Thinking | None
) -> tuple[Thinking | None, str]:
    """Return what holds, and who said it: `request`, `model`, `route`, `default` or nobody.

    Off, said by the client in the request or by the model's name that it chose, beats every budget. Else the request
    beats the model's name, that the route, that the default.
    """
    said = (("request", request), ("model", named), ("route", route), ("default", default))
    off = next((pair for pair in said[:2] if pair[1] is not None and pair[1].mode == "off"), None)
    who, wish = off or next((pair for pair in said if pair[1] is not None), ("", None))
    return wish, who


class _Wish(NamedTuple):
    path: str
    thinking: Thinking


@dataclass(slots=True)
class _Kept:
    """What reading found beside the thinking itself."""

    ignored: list[str] = field(default_factory=list)
    format: ReasoningFormat | None = None

    def ignore(self, fields: Fields) -> None:
        """Name what nobody has read of an object that does not go upstream."""
        for name in fields.rest():
            note(self.ignored, fields.path(name))


@dataclass(slots=True)
class _Wishes:
    """Everything that a request says about thinking, before it is known which of it counts."""

    said: list[_Wish] = field(default_factory=list)

    def effort(self, fields: Fields, name: str) -> None:
        """Read a label."""
        label = fields.choice(name, (*EFFORTS, *_NO_WISH))
        if label == "none":
            self.said.append(_Wish(fields.path(name), Thinking.off()))
        elif label is not None and label not in _NO_WISH:
            self.said.append(_Wish(fields.path(name), Thinking.effort(label)))

    def switch(self, fields: Fields, name: str) -> None:
        """Read true or false."""
        on = fields.flag(name)
        if on is not None:
            self.said.append(_Wish(fields.path(name), Thinking.on() if on else Thinking.off()))

    def budget(self, fields: Fields, name: str) -> None:
        """Read a number of tokens: 0 is no thinking, -1 is no bound, as in llama.cpp."""
        tokens = fields.integer(name, -1)
        if tokens is None:
            return
        wish = Thinking.on() if tokens < 0 else Thinking.budget(tokens) if tokens else Thinking.off()
        self.said.append(_Wish(fields.path(name), wish))

    def decide(self) -> tuple[Thinking | None, str]:
        """Return what counts and its field: off, else the smallest number, else the first label, else on."""
        for mode in ("off", "budget", "effort", "on"):
            found = [wish for wish in self.said if wish.thinking.mode == mode]
            if found:
                best = min(found, key=lambda wish: wish.thinking.tokens or 0)
                return best.thinking, best.path
        return None, ""


def _labels(body: Fields, wishes: _Wishes) -> None:
    """OpenAI's `reasoning_effort`; Anthropic's `output_config.effort`, which comes with adaptive thinking."""
    wishes.effort(body, "reasoning_effort")
    config = body.inner("output_config")
    if config is not None:
        wishes.effort(config, "effort")
        body.put("output_config", config.rest())


def _budgets(body: Fields, wishes: _Wishes) -> None:
    """Numbers and switches at the top: Qwen's clouds, vLLM, llama.cpp; Ollama's `think` is a switch or a label."""
    wishes.switch(body, "enable_thinking")
    if isinstance(body.take("think"), bool):
        wishes.switch(body, "think")
    else:
        wishes.effort(body, "think")
    for name in ("thinking_budget", "thinking_token_budget", "thinking_budget_tokens"):
        wishes.budget(body, name)


def _objects(body: Fields, wishes: _Wishes, kept: _Kept) -> None:
    """Anthropic's and DeepSeek's `thinking`, and the `reasoning` of OpenRouter and OpenAI's responses."""
    thinking = body.inner("thinking")
    if thinking is not None:
        kind = thinking.choice("type", ("enabled", "disabled", "adaptive", "auto"))
        wishes.budget(thinking, "budget_tokens")
        if kind in ("enabled", "disabled"):
            on = Thinking.on() if kind == "enabled" else Thinking.off()
            wishes.said.append(_Wish(thinking.path("type"), on))
        kept.ignore(thinking)
    reasoning = body.inner("reasoning")
    if reasoning is not None:
        wishes.effort(reasoning, "effort")
        wishes.budget(reasoning, "max_tokens")
        wishes.switch(reasoning, "enabled")
        if reasoning.flag("exclude"):
            kept.format = "none"
        kept.ignore(reasoning)


def _templates(body: Fields, wishes: _Wishes) -> None:
    """Variables of chat templates and SGLang's parameters; what else they hold is the upstream's and stays."""
    template = body.inner("chat_template_kwargs")
    if template is not None:
        wishes.switch(template, "enable_thinking")
        wishes.switch(template, "thinking")
        wishes.effort(template, "reasoning_effort")
        wishes.budget(template, "thinking_budget")
        body.put("chat_template_kwargs", template.rest())
    custom = body.inner("custom_params")
    if custom is not None:
        before = len(wishes.said)
        wishes.budget(custom, "thinking_budget")
        body.put("custom_params", custom.rest())
        if len(wishes.said) > before:
            # The processor is the one that keeps this budget; the upstream's dialect brings its own.
            body.text("custom_logit_processor")


def _read_format(body: Fields, kept: _Kept) -> ReasoningFormat | None:
    """Read in which form others' switches want the thinking back."""
    word = body.choice("reasoning_format", _TOP_FORMATS)
    if word is not None:
        kept.format = _TOP_FORMATS[word]
    if body.flag("separate_reasoning") is False:
        kept.format = "think_tags"
    if body.flag("include_reasoning") is False:
        kept.format = "none"
    if body.flag("stream_reasoning") is False:
        kept.ignored.append("stream_reasoning")
    return kept.format


def _read_own(own: Fields | None) -> Control:
    """Read the `ponder` object, in which an unknown field is an error: it is ours alone."""
    if own is None:
        return Control()
    method = own.text("method", empty=False)
    options = own.inner("options")
    control = Control(
        method=method,
        options={} if options is None else {k: _value(options, k, v) for k, v in options.every().items()},
        budget=own.integer("budget", 1),
        reasoning_format=cast("ReasoningFormat | None", own.choice("reasoning_format", FORMATS)),
        notes=own.flag("notes"),
    )
    own.close(_PONDER)
    return control


def _value(owner: Fields, name: str, raw: object) -> Value:
    """Return an option as a method's table holds it, where null is the word `none`."""
    if raw is None:
        return "none"
    if isinstance(raw, str | bool | int | float):
        return raw
    if isinstance(raw, list):
        return [_value(owner, name, item) for item in raw]
    if isinstance(raw, dict):
        return {str(key): _value(owner, name, item) for key, item in raw.items()}
    raise owner.wrong(name, f"a JSON value, not {kind_of(raw)}", "invalid_type")
