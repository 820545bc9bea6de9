"""Sums to train tiny models on, as conversations."""

from __future__ import annotations

from ponder.train.loops.messages import Conversation


def sums(count: int, start: int = 0, again: int = 1) -> tuple[Conversation, ...]:
    """Return questions whose replies say the sum `again` times, and up to two times more in some of them."""
    rows = []
    for number in range(start, start + count):
        a, b = number % 17, number * 7 % 23
        text = f"<think>\n{' wait, '.join([f'{a} + {b} = {a + b}'] * (again + number % 3))}\n</think>\n{a + b}"
        rows.append(Conversation((("user", f"{a} + {b}?"), ("assistant", text)), number + 1))
    return tuple(rows)
