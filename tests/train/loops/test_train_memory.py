"""Freed memory is given back now and then, where the C library can."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

import pytest

from ponder.train.loops.memory import give_back


class Library:
    """A C library that notes what it is asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def malloc_trim(self, pad: int) -> int:
        self.asked.append(pad)
        return 1


def test_every_tenth_step_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", "linux")
    for step in range(1, 31):
        give_back(step)
        assert len(library.asked) == step // 10
    assert set(library.asked) == {0}


def test_other_systems_and_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []

    def open_library(name: object) -> object:
        opened.append(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", open_library)
    monkeypatch.setattr(sys, "platform", "darwin")
    give_back(10)
    assert opened == []
    monkeypatch.setattr(sys, "platform", "linux")
    give_back(10)
    assert opened == [None]


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries keep no such holes")
def test_freed_memory_leaves_the_process() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")

    malloc, free = ctypes.CDLL(None).malloc, ctypes.CDLL(None).free
    malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    # Small blocks, which the library keeps for itself when they are freed; the last one holds the heap's end.
    blocks = [malloc(65536) for _ in range(1000)]
    for block in blocks:
        ctypes.memset(block, 1, 65536)
    for block in blocks[:-1]:
        free(block)
    before = resident()
    give_back(10)
    after = resident()
    free(blocks[-1])
    assert before - after > 500 * 65536
