"""One line of a user's file of questions: which fields it may have, and the question that it becomes."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import cast, get_args

from ponder.core.errors import nearest
from ponder.core.judge import Item, Reference
from ponder.core.problem import Message, MessageRole, Problem
from ponder.tasks.shipped import FORMATS, lettered
from ponder.text.prompts import is_chinese
from ponder.verify.base import Base

LETTERS = "ABCDEFGHIJ"


class Broken(ValueError):
    """What is wrong with a record, without the place where it stands."""


@dataclass(frozen=True, slots=True)
class Row:
    """A record whose fields have the right types."""

    id: str | None
    messages: tuple[Message, ...]
    answer: str | None
    verifier: str | None
    choices: tuple[str, ...]
    data: str

    def reference(self) -> Reference:
        """Return the answer with its data; a choice given by its text becomes its letter."""
        text = self.answer or ""
        if self.choices and text in self.choices:
            text = LETTERS[self.choices.index(text)]
        data = self.data or (json.dumps({"choices": self.choices}, ensure_ascii=False) if self.choices else "")
        return Reference(text, data)

    def item(self, id: str, kind: str, verifier: Base, formatted: bool) -> Item:
        """Return the question. Raises `Broken` for an answer that the verifier cannot read."""
        if kind == "choice" and not self.choices and self.answer is not None and len(self.answer.strip()) != 1:
            raise Broken("the verifier 'choice' needs a list of `choices`, or a letter as the answer")
        reference = None if self.answer is None else self.reference()
        problem = reference and verifier.check(reference)
        if problem:
            raise Broken(f'the answer {problem}; correct it, or name another "verifier" than {kind!r}')
        asked = Problem(id, self._asked(kind, formatted))
        return Item(asked, reference, {"question": Problem(id, self.messages).question})

    def _asked(self, kind: str, formatted: bool) -> tuple[Message, ...]:
        last = max(index for index, message in enumerate(self.messages) if message.role == "user")
        message = self.messages[last]
        chinese = is_chinese(message.text)
        if self.choices:
            message = Message.of("user", lettered(message.text, list(self.choices)))
        if formatted:
            message = message.append(FORMATS[kind]["zh" if chinese else "en"])
        return (*self.messages[:last], message, *self.messages[last + 1 :])


def read_row(record: object) -> Row:
    """Return a record with its fields checked. Raises `Broken`."""
    if not isinstance(record, dict):
        raise Broken(f"it must be a JSON object, not {_kind(record)}")
    table = cast(Mapping[str, object], record)
    _fields(table)
    choices = table.get("choices")
    if choices is not None and not (isinstance(choices, list) and 2 <= len(choices) <= len(LETTERS)):
        raise Broken(f"`choices` must be a list of 2 to {len(LETTERS)} texts")
    data = table.get("data")
    return Row(
        _text(table, "id"),
        _messages(table),
        _answer(table.get("answer")),
        _text(table, "verifier"),
        tuple(_sound(_scalar(choice, "a choice"), "a choice") for choice in cast(list[object], choices or [])),
        "" if data is None else data if isinstance(data, str) else json.dumps(data, ensure_ascii=False),
    )


def _fields(table: Mapping[str, object]) -> None:
    """Refuse a record without a question, or whose answer is misspelt: it would be left out in silence."""
    if "question" not in table and "messages" not in table:
        close = next((key for key in table if nearest(key, ("question", "messages"))), None)
        raise Broken("it has no `question`" + (f"; is {close!r} meant to be it?" if close else " and no `messages`"))
    if "question" in table and "messages" in table:
        raise Broken("it has both `question` and `messages`; keep one")
    if "answer" not in table:
        alike = get_close_matches("answer", [key.lower() for key in table], n=1, cutoff=0.75)
        if alike:
            raise Broken(f'it has no `answer`, but {alike[0]!r}; rename it, or add "answer": null')


def _messages(table: Mapping[str, object]) -> tuple[Message, ...]:
    question = _text(table, "question")
    if question is not None:
        return (Message.of("user", question),)
    turns = table.get("messages")
    if not isinstance(turns, list) or not turns:
        raise Broken("`question` must be a text, or `messages` a list of turns")
    messages = tuple(_message(turn) for turn in turns)
    if all(message.role != "user" for message in messages):
        raise Broken("`messages` has no turn of the user")
    return messages


def _message(turn: object) -> Message:
    role = turn.get("role") if isinstance(turn, dict) else None
    content = turn.get("content") if isinstance(turn, dict) else None
    if role not in get_args(MessageRole) or not isinstance(content, str):
        roles = ", ".join(get_args(MessageRole))
        raise Broken(f"each turn of `messages` needs a `role` ({roles}) and a text as its `content`")
    return Message.of(cast(MessageRole, role), _sound(content, "a message"))


def _answer(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = _sound(_scalar(value, "`answer`"), "`answer`")
    if not text.strip():
        raise Broken("`answer` is empty; write null where no answer is known")
    return text.rpartition("####")[2].strip() or text.strip()


def _text(table: Mapping[str, object], key: str) -> str | None:
    value = table.get(key)
    if value is None:
        return None
    text = _sound(_scalar(value, f"`{key}`") if key == "id" else _string(value, key), f"`{key}`")
    if not text.strip():
        raise Broken(f"`{key}` is empty")
    return text


def _string(value: object, key: str) -> str:
    if not isinstance(value, str):
        raise Broken(f"`{key}` must be a text, not {_kind(value)}")
    return value


def _scalar(value: object, what: str) -> str:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise Broken(f"{what} must be a text or a number, not {_kind(value)}")
    return str(value)


def _sound(text: str, what: str) -> str:
    """Refuse half a surrogate pair, which no file and no server could take later."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Broken(f"{what} holds half of a surrogate pair; write the character whole") from None
    return text


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", bool: "true or false", type(None): "null", str: "a text"}
    return names.get(type(value), "a number")
