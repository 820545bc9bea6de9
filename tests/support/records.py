"""Records for tests of the store and of what reads it."""

from __future__ import annotations

from ponder.bench.store import Key, Record


def record(question: str, *, method: str = "sample", seed: int = 0, tokens: int = 7) -> Record:
    """Return a finished attempt at a question of gsm8k."""
    return Record(
        key=Key("gsm8k", method, seed, question),
        correct=True,
        extracted="18",
        finish="stop",
        truncated=False,
        tokens=tokens,
        by_role={"think": tokens - 2, "answer": 2},
        prompt_tokens=11,
        cached_tokens=3,
        seconds=0.5,
        first_token_seconds=0.1,
        exact=True,
        trace='{"calls": []}',
    )
