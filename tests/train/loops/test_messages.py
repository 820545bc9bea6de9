"""Conversations from files: what is read, and the file and line of everything that cannot be."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.train.loops.messages import MAX_LINE, read_messages

ASKED = {"role": "user", "content": "2 + 3?"}
SAID = {"role": "assistant", "content": "<think>\n2 + 3 = 5\n</think>\n5"}


def write(path: Path, *lines: object) -> Path:
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines), "utf-8")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data.jsonl"


def test_rows_keep_their_messages_and_lines(path: Path) -> None:
    system = {"role": "system", "content": "简短"}
    write(
        path,
        {"messages": [ASKED, SAID], "id": 7, "tokens": 9, "meta": {"x": None}},
        "",
        {"messages": [system, ASKED, SAID]},
    )
    stage = read_messages(path)
    assert stage.name == "data.jsonl"
    assert stage.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert [row.line for row in stage.rows] == [1, 3]
    assert stage.rows[0].messages == (("user", "2 + 3?"), ("assistant", SAID["content"]))
    assert stage.rows[1].messages[0] == ("system", "简短")


def test_votes_are_read_with_their_tag(path: Path) -> None:
    write(
        path,
        {"messages": [ASKED, SAID], "votes": ["-"]},
        {"messages": [ASKED, SAID], "votes": [None, "+"], "tag": "5"},
        {"messages": [ASKED, SAID], "tag": "5"},
    )
    found = [(row.votes, row.tag) for row in read_messages(path).rows]
    assert found == [(("-",), ""), ((None, "+"), "5"), ((), "")]


def test_a_byte_order_mark_is_no_matter(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"messages": [ASKED, SAID]}).encode() + b"\r\n")
    assert len(read_messages(path).rows) == 1


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("{x", "broken JSON at column 2"),
        ("[" * 100_000, "broken JSON"),
        ("[]", 'an object with a list "messages"'),
        ('{"messages": []}', 'an object with a list "messages"'),
        ('{"messages": {"role": "user"}}', 'an object with a list "messages"'),
        ({"messages": [ASKED]}, "must be the assistant's, and is the user's"),
        ({"messages": [SAID]}, "there must be a message before"),
        ({"messages": [ASKED, {"role": "assistant", "content": " "}]}, "last message is empty"),
        ({"messages": [ASKED, SAID], "votes": "+"}, "votes must be a list of texts"),
        ({"messages": [ASKED, SAID], "votes": ["+", 1]}, "votes must be a list of texts"),
        ({"messages": [ASKED, SAID], "votes": [None]}, "there is no vote to learn"),
        ({"messages": [ASKED, SAID], "votes": ["+", "-"]}, "2 votes for 1 messages of the assistant"),
        ({"messages": [ASKED, SAID], "votes": ["+"], "tag": ";"}, "1 votes for 0 places behind ';'"),
        ({"messages": [ASKED, SAID], "votes": ["+"], "tag": 5}, "the tag must be a text"),
        ({"messages": [ASKED, {"role": "robot", "content": "5"}]}, "message 2 must have a role .*'robot'"),
        ({"messages": ["5", SAID]}, "message 1 must have a role .*None"),
        ({"messages": [{"role": "user", "content": ["5"]}, SAID]}, "message 1 must have a text"),
        ('{"messages": [{"role": "user", "content": "\\ud800"}, 1]}', "half a character"),
    ],
)
def test_what_is_wrong_is_named_with_its_line(path: Path, line: object, what: str) -> None:
    write(path, {"messages": [ASKED, SAID]}, line)
    with pytest.raises(DataError, match=rf"data\.jsonl, line 2: .*{what}"):
        read_messages(path)


def test_bytes_that_are_no_text(path: Path) -> None:
    path.write_bytes(b'{"messages": "\xff"}\n')
    with pytest.raises(DataError, match=r"line 1: it is not UTF-8 \(byte 15\)"):
        read_messages(path)


def test_a_line_without_end_is_not_read_to_its_end(path: Path) -> None:
    path.write_bytes(b" " * (MAX_LINE + 2))
    with pytest.raises(DataError, match="line 1: it is longer than one megabyte"):
        read_messages(path)


def test_files_without_rows(path: Path) -> None:
    with pytest.raises(DataError, match=r"data\.jsonl cannot be read: No such file"):
        read_messages(path)
    write(path, "", " ")
    with pytest.raises(DataError, match="holds no rows"):
        read_messages(path)
