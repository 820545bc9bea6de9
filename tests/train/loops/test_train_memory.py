"""A gigabyte of freed memory stays for the next step, and more is given back now and then, where the C library can."""

from __future__ import annotations

import ctypes
import os
import platform
import sys
from pathlib import Path

import pytest

from ponder.train.loops.memory import _freed, give_back, keep_freed

KEPT = 2**30


class Blocks:
    """`mallinfo2` of a process with so many bytes free."""

    restype: object = None

    def __init__(self, free: int) -> None:
        self.fordblks = free

    def __call__(self) -> Blocks:
        return self


class Old:
    """A C library that notes what it is asked, too old to say how much is free."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.options: dict[int, int] = {}

    def malloc_trim(self, pad: int) -> int:
        self.asked.append(pad)
        return 1

    def mallopt(self, option: int, value: int) -> int:
        self.options[option] = value
        return 1


class Library(Old):
    """One that says it."""

    def __init__(self, free: int) -> None:
        super().__init__()
        self.mallinfo2 = Blocks(free)


def on_linux(monkeypatch: pytest.MonkeyPatch, library: object) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    monkeypatch.setattr(sys, "platform", "linux")


@pytest.mark.parametrize("library", [Library(KEPT + 1), Old()], ids=["new", "old"])
def test_every_tenth_step_is_enough(monkeypatch: pytest.MonkeyPatch, library: Old) -> None:
    on_linux(monkeypatch, library)
    for step in range(1, 31):
        give_back(step)
        assert len(library.asked) == step // 10
    assert set(library.asked) == {0}


def test_a_gigabyte_may_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(KEPT)
    on_linux(monkeypatch, library)
    give_back(10)
    assert library.asked == []
    give_back(10, kept=KEPT - 1)
    assert library.asked == [0]


def test_freed_memory_is_not_handed_back_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Old()
    on_linux(monkeypatch, library)
    keep_freed()
    # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of glibc's <malloc.h>.
    assert library.options == {-3: 2**25, -1: KEPT}


def test_other_systems_and_other_libraries_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []

    def open_library(name: object) -> object:
        opened.append(name)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", open_library)
    monkeypatch.setattr(sys, "platform", "darwin")
    give_back(10)
    keep_freed()
    assert opened == []
    monkeypatch.setattr(sys, "platform", "linux")
    give_back(10)
    keep_freed()
    assert opened == [None, None]


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
    give_back(10, kept=0)
    after = resident()
    free(blocks[-1])
    assert before - after > 500 * 65536


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries do not say what they hold")
def test_what_the_process_holds_is_counted_as_glibc_does() -> None:
    library = ctypes.CDLL(None)
    malloc, free = library.malloc, library.free
    malloc.restype, malloc.argtypes, free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
    blocks = [malloc(65536) for _ in range(1000)]
    held = _freed(library)
    for block in blocks[:-1]:
        free(block)
    assert _freed(library) - held >= 999 * 65536
    free(blocks[-1])
