from __future__ import annotations

import gzip
import json
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.core.judge import Reference
from ponder.tasks import load_task
from ponder.tasks.jsonl import JSONL
from ponder.verify import Choice, Exact, Math, Number, YesNo

GOOD = '{"question": "2+2?", "answer": 4}'
Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(*lines: str | bytes, name: str = "own.jsonl") -> str:
        path = tmp_path / name
        path.write_bytes(b"".join((line if isinstance(line, bytes) else line.encode()) + b"\n" for line in lines))
        return str(path)

    return write


def test_questions_in_order_with_ids_of_their_own(write: Write) -> None:
    path = write(
        GOOD, "", '{"id": "x", "question": "Which way?", "answer": null}', '{"question": "3+3?", "answer": "6"}'
    )
    task = load_task(f"jsonl:{path}")
    items = list(task.items())
    assert task.name == f"jsonl:{path}"
    assert task.verifier == Number()
    assert [one.problem.id for one in items] == ["own-1", "x", "own-4"]
    assert [one.reference for one in items] == [Reference("4"), None, Reference("6")]
    assert list(task.items(2)) == items[:2]


@pytest.mark.parametrize(
    ("line", "verifier"),
    [
        ('{"question": "?", "answer": "1/2"}', Number()),
        ('{"question": "?", "answer": true}', YesNo()),
        ('{"question": "?", "answer": "no"}', YesNo()),
        ('{"question": "?", "answer": "Paris"}', Exact()),
        ('{"question": "?", "answer": null}', Exact()),
        ('{"question": "?", "choices": ["a", "b"], "answer": "b"}', Choice("ABCDEFGHIJ")),
        ('{"question": "?", "answer": "5", "verifier": "math"}', Math()),
        ('{"question": "?", "answer": "5", "verifier": "exact"}', Exact()),
    ],
)
def test_the_first_answered_line_chooses_the_verifier(write: Write, line: str, verifier: object) -> None:
    task = JSONL(write('{"question": "unanswered"}', line))
    assert task.verifier == verifier
    assert len(list(task.items())) == 2


def test_options_behind_the_path(write: Write) -> None:
    path = write(GOOD, name="with,comma.jsonl")
    task = load_task(f"jsonl:{path},verifier=math,format=off")
    assert task.verifier == Math()
    assert task.name == f"jsonl:{path},verifier=math,format=off"
    assert load_task(task.name) == task
    assert next(task.items()).problem.question == "2+2?"
    with pytest.raises(OptionError, match=r"no verifier 'maths'; did you mean 'math'"):
        load_task(f"jsonl:{path},verifier=maths")
    with pytest.raises(OptionError, match=r"format = 'maybe' must be on or off"):
        load_task(f"jsonl:{path},format=maybe")


def test_gzip_is_known_by_its_content(write: Write, tmp_path: Path) -> None:
    zipped = tmp_path / "zipped.jsonl.gz"
    zipped.write_bytes(gzip.compress(f"{GOOD}\n{GOOD}\n".encode()))
    renamed = tmp_path / "renamed.jsonl"
    renamed.write_bytes(zipped.read_bytes())
    assert [one.problem.id for one in JSONL(str(zipped)).items()] == ["zipped-1", "zipped-2"]
    assert len(list(JSONL(str(renamed)).items())) == 2


def test_a_byte_order_mark_and_windows_line_ends_are_fine(write: Write) -> None:
    assert len(list(JSONL(write(b"\xef\xbb\xbf" + GOOD.encode() + b"\r", GOOD)).items())) == 2


def test_an_empty_file_has_no_questions(write: Write) -> None:
    assert list(JSONL(write()).items()) == []


BROKEN: list[tuple[str | bytes, str]] = [
    ('{"question": "?"', "broken JSON at column 17"),
    ("{'question': 1}", "broken JSON at column 2"),
    ("[1, 2]", "must be a JSON object, not a list"),
    ('{"answer": 4}', "has no `question`"),
    ('{"question": "?", "answer": "east"}', "the answer 'east' is not a number"),
    ('{"id": "a", "question": "?", "answer": 5}', "the id 'a' stands in an earlier line too"),
    ('{"question": "?", "answer": "5", "verifier": "math"}', "asks for the verifier 'math', but earlier lines"),
    (b'{"question": "\xff"}', "not UTF-8 (byte 15)"),
    ('{"question": "' + "x" * 2**20 + '"}', "longer than one megabyte"),
    ("[" * 100_000, "broken JSON (RecursionError"),
    ('{"question": "?", "answer": ' + "9" * 5000 + "}", "broken JSON (ValueError"),
    ('{"question": "?", "answer": NaN}', "the answer 'nan' is not a number"),
    ('{"question": "\\ud800", "answer": 5}', "half of a surrogate pair"),
]


@pytest.mark.parametrize(("line", "message"), BROKEN, ids=[message for _, message in BROKEN])
def test_a_broken_line_is_named_after_the_good_ones_were_given_out(
    write: Write, line: str | bytes, message: str
) -> None:
    good = ['{"id": "a", "question": "2+2?", "answer": 4}', *[GOOD] * 5]
    path = write(*good, line, GOOD)
    items = JSONL(path).items()
    assert len([next(items) for _ in range(6)]) == 6
    with pytest.raises(DataError) as caught:
        next(items)
    assert str(caught.value).startswith(f"{path}, line 7: ")
    assert message in str(caught.value)
    assert len(list(JSONL(path).items(6))) == 6


def test_a_beginning_that_is_broken_is_said_at_once(write: Write) -> None:
    with pytest.raises(DataError, match=r"own\.jsonl, line 1: broken JSON"):
        JSONL(write("{"))
    with pytest.raises(DataError, match=r"no verifier 'nummer'; did you mean 'number'"):
        JSONL(write('{"question": "?", "answer": 1, "verifier": "nummer"}'))


def test_files_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"gone\.jsonl cannot be read: No such file"):
        JSONL(str(tmp_path / "gone.jsonl"))
    with pytest.raises(DataError, match=r"cannot be read: Is a directory"):
        JSONL(str(tmp_path))


@pytest.mark.parametrize("damage", ["cut", "changed", "garbage"])
def test_a_damaged_gzip_file_is_named(tmp_path: Path, damage: str) -> None:
    whole = gzip.compress(
        "".join(f'{{"question": "{i}+{i * 7919}?", "answer": {2 * i}}}\n' for i in range(5_000)).encode()
    )
    middle = len(whole) // 2
    bad = {
        "cut": whole[:middle],
        "changed": whole[:middle] + b"\x00" * 64 + whole[middle + 64 :],
        "garbage": whole[:2] + b"garbage",
    }[damage]
    path = tmp_path / "bad.jsonl.gz"
    path.write_bytes(bad)
    with pytest.raises(DataError, match=r"bad\.jsonl\.gz"):
        list(JSONL(str(path)).items())


def test_a_file_is_data_and_never_code(write: Write) -> None:
    line = json.dumps({"question": "__import__('os').abort()", "answer": "cos\nsystem\n(S'abort'\ntR."})
    (one,) = JSONL(write(line)).items()
    assert one.problem.question.startswith("__import__")


def test_long_files_take_little_memory(write: Write) -> None:
    path = write(*(f'{{"question": "{"x" * 200}{i}?", "answer": {i}}}' for i in range(10_000)))
    items = JSONL(path).items()
    next(items)
    tracemalloc.start()
    count = sum(1 for _ in items)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 9_999
    assert peak < 5_000_000
