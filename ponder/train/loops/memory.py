"""What becomes of memory that training has freed: some stays for the next step, and holes go back to the system."""

from __future__ import annotations

import ctypes
import sys

_EVERY = 10
_KEPT = 2**30
"""Bytes of freed memory that the process may hold."""
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
"""What glibc's <malloc.h> numbers its options."""
_MAPPED = 2**25
"""Bytes from which on a block is mapped by itself, the most that glibc allows."""


class _Blocks(ctypes.Structure):
    """`struct mallinfo2` of glibc; `fordblks` is the bytes that are free, and the process's still."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in (
            "arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost",
        )
    )  # fmt: skip


def keep_freed() -> None:
    """Let freed memory, up to a gigabyte, stay with the process from now on.

    Else glibc hands a step's activations back to the system, which clears them anew for the next, page by page: a
    tenth of the time that a model of a million weights takes.
    """
    if sys.platform.startswith("linux"):
        library = ctypes.CDLL(None)
        try:
            library.mallopt(_MMAP_THRESHOLD, _MAPPED)
            library.mallopt(_TRIM_THRESHOLD, _KEPT)
        except AttributeError:  # Another C library than glibc.
            return


def give_back(step: int, kept: int = _KEPT) -> None:
    """Return freed memory to the system, every tenth step, where it is more than `kept` bytes.

    Tensors of ever new sizes leave holes that glibc keeps: within 250 steps of a 135M model, 7 GB of them were seen.
    """
    if step % _EVERY or not sys.platform.startswith("linux"):
        return
    library = ctypes.CDLL(None)
    try:
        trim = library.malloc_trim
    except AttributeError:  # Another C library than glibc.
        return
    if _freed(library) > kept:
        trim(0)


def _freed(library: ctypes.CDLL) -> int:
    """Return the bytes of freed memory that the process still holds; no end of them where glibc is too old to say."""
    try:
        blocks = library.mallinfo2
    except AttributeError:
        return sys.maxsize
    blocks.restype = _Blocks
    return int(blocks().fordblks)
