from __future__ import annotations

import asyncio
import logging
import os
import threading
from pathlib import Path

import pytest

from ponder.core.errors import DataError
from ponder.core.files import Files


def load(path: Path) -> int:
    try:
        return int(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name}: {type(error).__name__}") from None


def put(path: Path, text: str, at: int) -> None:
    path.write_text(text)
    os.utime(path, ns=(at, at))


async def test_a_file_is_read_once_and_again_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    read: list[str] = []

    def noted(path: Path) -> int:
        read.append(threading.current_thread().name)
        return load(path)

    files, path = Files(noted), tmp_path / "n"
    put(path, "1", 1)
    assert [await files.get(path) for _ in range(3)] == [1, 1, 1]
    put(path, "2", 2)
    assert [await files.get(path) for _ in range(3)] == [2, 2, 2]
    assert len(read) == 2
    assert threading.current_thread().name not in read
    assert "changed and was read again" in caplog.text


async def test_a_broken_file_leaves_the_old_one_and_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files, path = Files(load), tmp_path / "n"
    put(path, "1", 1)
    await files.get(path)
    put(path, "no number", 2)
    with caplog.at_level(logging.WARNING):
        assert [await files.get(path) for _ in range(3)] == [1, 1, 1]
    assert [record.getMessage() for record in caplog.records] == [
        f"{path} changed and is not taken, the one read before goes on: n: ValueError"
    ]
    path.unlink()
    assert await files.get(path) == 1
    put(path, "3", 3)
    assert await files.get(path) == 3


async def test_a_file_that_was_never_readable_is_an_error_each_time(tmp_path: Path) -> None:
    files, path = Files(load), tmp_path / "n"
    for _ in range(2):
        with pytest.raises(DataError, match="n: FileNotFoundError"):
            await files.get(path)
    put(path, "4", 1)
    assert await files.get(path) == 4


async def test_while_a_new_file_is_read_the_old_one_serves(tmp_path: Path) -> None:
    begun, gate = threading.Event(), threading.Event()

    def slow(path: Path) -> int:
        number = load(path)
        if number > 1:
            begun.set()
            gate.wait(10)
        return number

    files, path = Files(slow), tmp_path / "n"
    put(path, "1", 1)
    await files.get(path)
    put(path, "2", 2)
    first = asyncio.create_task(files.get(path))
    assert await asyncio.to_thread(begun.wait, 10)
    assert await files.get(path) == 1
    gate.set()
    assert await first == 2
    assert await files.get(path) == 2


async def test_a_folder_changes_with_any_of_its_files(tmp_path: Path) -> None:
    files = Files(lambda folder: load(folder / "a") + load(folder / "b"))
    put(tmp_path / "a", "1", 1)
    put(tmp_path / "b", "10", 1)
    assert await files.get(tmp_path) == 11
    put(tmp_path / "b", "20", 2)
    assert await files.get(tmp_path) == 21
