"""From a prompt to token ids, such that nothing in a message can forge a turn.

The model's own chat template is rendered. Where a message spells a control token, a placeholder goes through the
template, and ids that only spell its letters take its place.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

from ponder.core.engine import Think
from ponder.core.errors import DataError, OptionError, Unsupported
from ponder.core.problem import Image, Message, Prompt, Text
from ponder.engines.begun import MORE, before_more
from ponder.engines.template import MARKS, ChatTemplate, ends_open

_KEPT, _SHORT = 256, 64
"""How many conversations and pieces of replies are kept as ids, and up to how many characters a piece is kept."""
_PLACEHOLDER = "\ue000{}\ue001"
_THINKS = re.compile(r"\b(enable_thinking|reasoning_content|message\.thinking|message\.reasoning)\b")
"""What a chat template speaks of if its model thinks apart from its answer, whatever marks it uses."""


class Tokenizer(Protocol):
    """What is used of a transformers tokenizer."""

    def encode(self, text: str, *, add_special_tokens: bool, split_special_tokens: bool) -> list[int]:
        """Return the ids of `text`; special tokens in it are read as such, or spelled."""
        ...

    def decode(self, ids: Sequence[int], *, skip_special_tokens: bool, clean_up_tokenization_spaces: bool) -> str:
        """Return the text of `ids`."""
        ...


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What the tokenizer of a model says of itself. `added` maps added tokens to (id, whether special)."""

    template: str
    variables: dict[str, str]
    added: dict[str, tuple[int, bool]]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A prompt as ids. `head` of them are the conversation, the rest is the half-written reply; `opened` says that
    the conversation ends inside a thought that the template opened.
    """

    ids: list[int]
    head: int
    opened: bool


class Renderer:
    """Renders prompts with one model's template and tokenizer; `think` is found in the template, unless given.

    Raises `DataError` for a template whose model thinks in a way that cannot be told.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary, where: str, think: Think | None = None) -> None:
        self._tokenizer = tokenizer
        self._template = ChatTemplate(vocabulary.template, vocabulary.variables, where)
        self.has_switch = "enable_thinking" in vocabulary.template
        self.think = self._template.think() if think is None else think
        if think is None and not self.think:
            self.think = next((Think(*pair) for pair in MARKS if pair[1] in vocabulary.added), Think())
            if not self.think and _THINKS.search(vocabulary.template):
                raise DataError(
                    f"{where}: the chat template speaks of thinking, but with none of the marks known here; give them "
                    "with --think-open and --think-close (an empty --think-close takes thoughts as part of the answer)"
                )
        marks = [mark.strip() for mark in (self.think.open, self.think.close) if mark.strip()]
        # Added tokens that no template writes are words like others, and the model knows them only as tokens.
        control = {
            text: entry
            for text, entry in vocabulary.added.items()
            if text.strip() and (entry[1] or text in vocabulary.template)
        }
        # Of a reply that grows step by step, each call renders the same conversation and the same pieces again.
        self._heads = lru_cache(_KEPT)(self._read)
        self._pieces = lru_cache(_KEPT)(self._written)
        self._spelled: dict[int, str] = {}
        self._words: dict[str, int | None] = {}
        self._any = _finder(control)
        self._no_marks = _finder(text for text in control if text not in marks)
        self.silent = frozenset(id for text, (id, special) in control.items() if special and text not in marks)

    def render(self, prompt: Prompt) -> Rendered:
        """Return the ids of the conversation and of the half-written reply behind it. Raises `PonderError`."""
        known, opened = self._heads(replace(prompt, prefill="", prefill_ids=()))
        begun = prompt.prefill_ids or ((prompt.prefill,) if prompt.prefill else ())
        return Rendered([*known, *self.spelt(begun)], len(known), opened)

    def spelt(self, parts: Iterable[int | str]) -> list[int]:
        """Return the ids of a text that is given in ids and in pieces. Raises `PonderError`."""
        ids: list[int] = []
        for part in parts:
            if isinstance(part, int):
                ids.append(part)
            else:
                ids += self._pieces(part) if len(part) <= _SHORT else self._written(part)
        return ids

    def _read(self, prompt: Prompt) -> tuple[tuple[int, ...], bool]:
        """Return the ids of a conversation, and whether it ends inside a thought that the template opened."""
        text, risky = self._head(prompt)
        ids: list[int] = []
        for number, piece in enumerate(re.split("\ue000(\\d+)\ue001", text) if risky else [text]):
            ids += self._letters(risky[int(piece)]) if number % 2 else self._encode(piece)
        return tuple(ids), ends_open(text, self.think.open.strip())

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`, without that of control tokens; think marks are text."""
        shown = [token for token in ids if token not in self.silent]
        return self._tokenizer.decode(shown, skip_special_tokens=False, clean_up_tokenization_spaces=False)

    def spell(self, token: int) -> str:
        """Return the text of one token, control tokens included."""
        if token not in self._spelled:
            self._spelled[token] = self._tokenizer.decode(
                [token], skip_special_tokens=False, clean_up_tokenization_spaces=False
            )
        return self._spelled[token]

    def think_of(self, rendered: Rendered) -> Think:
        """Return how the model marks its thinking in a reply to `rendered`."""
        return replace(self.think, opened=rendered.opened)

    def check(self, prompt: Prompt) -> None:
        """Raise `Unsupported` for what this way of reaching a model cannot do."""
        if prompt.tools:
            raise Unsupported("this engine calls no tools; use a server that does (--model URL#NAME)")
        if any(isinstance(part, Image) for message in prompt.messages for part in message.parts):
            raise Unsupported("this engine reads no pictures; use a server that does (--model URL#NAME)")
        if prompt.response_format is not None and json.loads(prompt.response_format) != {"type": "text"}:
            raise Unsupported("this engine forces no response format; use a server that does (--model URL#NAME)")
        thinking = prompt.thinking
        if thinking is None or (thinking.mode == "off" and not self.think):
            return
        if thinking.mode not in ("off", "on") or not self.has_switch:
            raise Unsupported(
                f"the model's chat template has no switch for thinking {thinking.mode!r}; "
                "leave the option out, or use a method that steers thinking by itself"
            )

    def _head(self, prompt: Prompt) -> tuple[str, list[str]]:
        """Return the rendered conversation, and the texts that its placeholders stand for."""
        risky: list[str] = []

        def stand_in(found: re.Match[str]) -> str:
            risky.append(found[0])
            return _PLACEHOLDER.format(len(risky) - 1)

        def safe(text: str, finder: re.Pattern[str]) -> str:
            _check_text(text, "a message")
            return finder.sub(stand_in, text)

        messages = tuple(self._guarded(message, safe) for message in prompt.messages)
        return self._template.render(replace(prompt, messages=messages)), risky

    def _guarded(self, message: Message, safe: Callable[[str, re.Pattern[str]], str]) -> Message:
        # Templates look for think marks in earlier replies, to leave old thoughts out.
        finder = self._no_marks if message.role == "assistant" else self._any
        role = message.role
        if role == "developer" and "developer" not in self._template.source:
            role = "system"
        calls = tuple(replace(call, arguments=safe(call.arguments, self._any)) for call in message.tool_calls)
        reasoning = None if message.reasoning is None else safe(message.reasoning, self._any)
        parts = (Text(safe(message.text, finder)),)
        return replace(message, role=role, parts=parts, tool_calls=calls, reasoning=reasoning)

    def banned(self, texts: Iterable[str]) -> tuple[tuple[int, float], ...]:
        """Return a bias that forbids the texts which are one token each. Call it where prompts are rendered."""
        for text in texts:
            if text not in self._words:
                ids = self._encode(text)
                self._words[text] = ids[0] if len(ids) == 1 else None
        found = {token for text in texts if (token := self._words[text]) is not None}
        return tuple((token, -math.inf) for token in sorted(found))

    def _encode(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False, split_special_tokens=False) if text else []

    def _written(self, text: str) -> list[int]:
        """Encode text that a method wrote: think marks are marks in it, whatever else looks like one is text."""
        _check_text(text, "the prefill")
        ids: list[int] = []
        pieces = self._no_marks.split(text)
        for number, piece in enumerate(pieces):
            if number == len(pieces) - 1 and piece.endswith("\n"):
                ids += before_more(self._encode(piece + MORE), self._encode(MORE)) or self._encode(piece)
            else:
                ids += self._letters(piece) if number % 2 else self._encode(piece)
        return ids

    def _letters(self, control: str) -> list[int]:
        """Spell what would be a control token. Cut in two it is none, whether the tokenizer calls it special or not."""
        ids: list[int] = []
        for half in (control[: len(control) // 2], control[len(control) // 2 :]):
            ids += self._tokenizer.encode(half, add_special_tokens=False, split_special_tokens=True) if half else []
        return ids


def _finder(texts: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern that finds each of `texts`, the longer ones first, and what could be a placeholder."""
    longest = sorted((*texts, _PLACEHOLDER[0]), key=len, reverse=True)
    return re.compile(f"({'|'.join(map(re.escape, longest))})")


def _check_text(text: str, what: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise OptionError(
            f"{what} holds half a character ({text[error.start]!r} at {error.start}); decode it anew"
        ) from None
