"""What is asked, and the half-written reply: plain values that can be shared, hashed and compared."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ponder.core.run import Call

MessageRole = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text in a message."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """A picture in a message, as a `data:` or `https:` URL."""

    url: str


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that a model asked for; `arguments` is JSON text, exactly as the model wrote it."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that the model may call; `spec` is the client's own JSON text, so that no field of it is lost."""

    name: str
    spec: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `reasoning` is the thinking of an earlier assistant turn."""

    role: MessageRole
    parts: tuple[Text | Image, ...]
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    reasoning: str | None = None

    @classmethod
    def of(cls, role: MessageRole, text: str) -> Message:
        """Return a message that is nothing but text."""
        return cls(role, (Text(text),))

    @property
    def text(self) -> str:
        """The text parts, joined by line breaks."""
        return "\n".join(part.text for part in self.parts if isinstance(part, Text))

    def append(self, text: str) -> Message:
        """Return this message with one more paragraph at its end; pictures stay where they are."""
        *head, last = self.parts or (Text(""),)
        if isinstance(last, Text):
            joined = f"{last.text}\n\n{text}" if last.text else text
            return replace(self, parts=(*head, Text(joined)))
        return replace(self, parts=(*self.parts, Text(text)))


@dataclass(frozen=True, slots=True)
class Thinking:
    """What is asked of a model that can think in more than one way; no `Thinking` at all leaves it to the model."""

    mode: Literal["off", "on", "budget", "effort"]
    tokens: int | None = None
    label: str | None = None

    @classmethod
    def off(cls) -> Thinking:
        """Answer without thinking."""
        return cls("off")

    @classmethod
    def on(cls) -> Thinking:
        """Think as long as the model likes."""
        return cls("on")

    @classmethod
    def budget(cls, tokens: int) -> Thinking:
        """Think for at most so many tokens."""
        return cls("budget", tokens=tokens)

    @classmethod
    def effort(cls, label: str) -> Thinking:
        """Think as hard as a label such as `low` or `high` says; what that means is the server's matter."""
        return cls("effort", label=label)


EFFORTS: Mapping[str, int | None] = {
    "none": 0,
    "minimal": 512,
    "low": 1024,
    "medium": 4096,
    "high": 16384,
    "xhigh": 32768,
    "max": None,
}
"""Effort to thinking tokens, where a label has to become a number; None is no bound. There is no standard."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A question as a method sees it. There is no reference answer in it, so none can leak."""

    id: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    response_format: str | None = None
    """JSON text, as the client sent it."""
    meta: Mapping[str, str] = field(default_factory=dict, hash=False)
    extra: str = ""
    """JSON text of an object: further fields of the request that go to the server, as they are, in every call."""

    @classmethod
    def of(cls, question: str, id: str = "question", system: str | None = None) -> Problem:
        """Return a problem that asks one question."""
        first = (Message.of("system", system),) if system else ()
        return cls(id, (*first, Message.of("user", question)))

    @property
    def question(self) -> str:
        """The text of the last user message."""
        return next((m.text for m in reversed(self.messages) if m.role == "user"), "")


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation with a half-written assistant turn. Forking a thought is using its prompt twice.

    `prefill` is the text of that turn. `prefill_ids`, where it is not empty, spells the same turn as token ids, with
    strings in between for text that was put in by hand and has no ids yet: continuing from ids keeps token boundaries
    and cached prefixes, which encoding the text again would move.

    `extra` is `Problem.extra`: engines that speak to a server send what it holds beside their own fields, and never in
    place of one of them; the others have nobody to send it to.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    response_format: str | None = None
    thinking: Thinking | None = None
    prefill: str = ""
    prefill_ids: tuple[int | str, ...] = ()
    extra: str = ""

    @classmethod
    def of(cls, problem: Problem, instruction: str = "", thinking: Thinking | None = None) -> Prompt:
        """Return the prompt that asks `problem`, with `instruction` as one more paragraph of its last user message."""
        messages = problem.messages
        if instruction:
            last = max((i for i, m in enumerate(messages) if m.role == "user"), default=None)
            if last is None:
                messages = (*messages, Message.of("user", instruction))
            else:
                messages = (*messages[:last], messages[last].append(instruction), *messages[last + 1 :])
        return cls(messages, problem.tools, problem.response_format, thinking, extra=problem.extra)

    def __add__(self, more: str | Call) -> Prompt:
        """Return the prompt with text, or what a call generated, at the end of the assistant turn."""
        if isinstance(more, str):
            ids = _append(self.prefill_ids, (more,)) if self.prefill_ids and more else self.prefill_ids
            return replace(self, prefill=self.prefill + more, prefill_ids=ids)
        if more.token_ids:
            start: tuple[int | str, ...] = self.prefill_ids or ((self.prefill,) if self.prefill else ())
            ids = (*start, *more.token_ids)
        else:
            ids = _append(self.prefill_ids, (more.text,)) if self.prefill_ids and more.text else self.prefill_ids
        return replace(self, prefill=self.prefill + more.text, prefill_ids=ids)


def _append(ids: tuple[int | str, ...], more: tuple[str]) -> tuple[int | str, ...]:
    """Append text, joined to text that already stands at the end, so that it is encoded as one piece."""
    if ids and isinstance(ids[-1], str):
        return (*ids[:-1], ids[-1] + more[0])
    return (*ids, *more)
