"""Seeds: each call has one of its own, whatever order concurrent branches take."""

from __future__ import annotations

import hashlib


def derive_seed(seed: int, branch: tuple[int, ...], index: int, purpose: str) -> int:
    """Return 31 bits that depend on the run's seed, the branch and the index, and on nothing else."""
    text = f"{purpose}/{seed}/{'.'.join(map(str, branch))}/{index}"
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "big") >> 1
