"""Reads conversations to train on: one JSON object with `messages` a line, checked line by line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from ponder.core.errors import DataError

MAX_LINE = 2**20
_ROLES = ("system", "user", "assistant", "tool")


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said, as (role, text) pairs that end with the assistant's; `line` is where it stands, from 1.

    `thinking` is what a hybrid model's template is told by `enable_thinking`; None leaves it to the template. `given`
    is how the last reply begins: it stands before the text that is learnt.

    With `votes` nothing else is learnt: one for each of the assistant's messages, whatever stands there, or one behind
    each `tag` of its last message. None is no vote.
    """

    messages: tuple[tuple[str, str], ...]
    line: int = 0
    thinking: bool | None = None
    given: str = ""
    votes: tuple[str | None, ...] = ()
    tag: str = ""


@dataclass(frozen=True, slots=True)
class Stage:
    """What is trained on together, under a name; `sha256` is that of the file it was read from."""

    name: str
    rows: tuple[Conversation, ...]
    sha256: str = ""


def read_messages(path: Path) -> Stage:
    """Read a file. Raises `DataError` that names the file and the line of whatever is wrong."""
    try:
        rows = tuple(_rows(path))
        with path.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from None
    if not rows:
        raise DataError(f"{path} holds no rows; each line must be an object with messages")
    return Stage(path.name, rows, sha256)


def _rows(path: Path) -> Iterator[Conversation]:
    with path.open("rb") as source:
        number = 0
        while line := source.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                _fail(path, number, "it is longer than one megabyte; is this a file of JSON lines?")
            if number == 1:
                line = line.removeprefix(b"\xef\xbb\xbf")
            if line.strip():
                record = _record(path, number, line)
                said = _messages(path, number, record)
                votes, tag = _votes(path, number, record, said) if "votes" in record else ((), "")
                yield Conversation(said, number, votes=votes, tag=tag)


def _record(path: Path, number: int, line: bytes) -> dict[str, object]:
    try:
        record = json.loads(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        _fail(path, number, f"it is not UTF-8 (byte {error.start + 1}); save the file as UTF-8")
    except json.JSONDecodeError as error:
        _fail(path, number, f"broken JSON at column {error.colno} ({error.msg})")
    except (ValueError, RecursionError) as error:
        _fail(path, number, f"broken JSON ({type(error).__name__}: {error})")
    if not isinstance(record, dict):
        _fail(path, number, 'there must be an object with a list "messages"')
    return record


def _messages(path: Path, number: int, record: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    said = record.get("messages")
    if not isinstance(said, list) or not said:
        _fail(path, number, 'there must be an object with a list "messages"')
    pairs = tuple(_pair(path, number, place, message) for place, message in enumerate(said, 1))
    if pairs[-1][0] != "assistant":
        _fail(path, number, f"the last message must be the assistant's, and is the {pairs[-1][0]}'s")
    if len(pairs) < 2:
        _fail(path, number, "there must be a message before the assistant's")
    if not pairs[-1][1].strip():
        _fail(path, number, "the assistant's last message is empty")
    return pairs


def _votes(
    path: Path, number: int, record: Mapping[str, object], said: Sequence[tuple[str, str]]
) -> tuple[tuple[str | None, ...], str]:
    votes, tag = record["votes"], record.get("tag", "")
    if not isinstance(votes, list) or not all(vote is None or (isinstance(vote, str) and vote) for vote in votes):
        _fail(path, number, "votes must be a list of texts, or null where there is none")
    if not any(votes):
        _fail(path, number, "there is no vote to learn; leave out votes to learn the last message")
    if not isinstance(tag, str):
        _fail(path, number, "the tag must be a text")
    places = said[-1][1].count(tag) if tag else sum(role == "assistant" for role, _ in said)
    if places != len(votes):
        where = f"places behind {tag!r} in the last message" if tag else "messages of the assistant"
        _fail(path, number, f"there are {len(votes)} votes for {places} {where}")
    return tuple(votes), tag


def _pair(path: Path, number: int, place: int, message: object) -> tuple[str, str]:
    role, content = (message.get("role"), message.get("content")) if isinstance(message, dict) else (None, None)
    if role not in _ROLES:
        _fail(path, number, f"message {place} must have a role ({', '.join(_ROLES)}), and has {role!r}")
    if not isinstance(content, str):
        _fail(path, number, f"message {place} must have a text as content")
    if not _is_sound(content):
        _fail(path, number, f"message {place} holds half a character (a lone surrogate); save the text anew")
    return str(role), content


def _is_sound(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fail(path: Path, number: int, what: str) -> NoReturn:
    raise DataError(f"{path}, line {number}: {what}")
