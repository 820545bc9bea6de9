"""Hidden states of chosen layers, numbered as transformers numbers them, as bytes that outlive the step.

State 0 is what enters the first block, state n what leaves block n, and the last one has gone through the final norm.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch

from ponder.core.engine import ALL_LAYERS

States = Mapping[int, torch.Tensor]
"""The states of a forward pass by layer, each of shape (rows, positions, hidden size)."""


def resolve(asked: Sequence[int], layers: int) -> tuple[int, ...]:
    """Return the numbers of the states that are asked for, counted from 0, in a model of so many layers."""
    if tuple(asked) == ALL_LAYERS:
        return tuple(range(layers + 1))
    return tuple(number % (layers + 1) for number in asked)


def pack(states: States, numbers: Sequence[int], row: int, position: int) -> memoryview | None:
    """Return the states of one position, float32 of shape (layers asked, hidden size); None where none is asked."""
    if not numbers:
        return None
    chosen = torch.stack([states[number][row, position] for number in numbers]).float().cpu()
    return memoryview(chosen.numpy())


def stack(tokens: Sequence[memoryview]) -> memoryview | None:
    """Return the states of several tokens as one block of shape (tokens, layers asked, hidden size)."""
    if not tokens:
        return None
    shape = (len(tokens), *(tokens[0].shape or ()))
    raw = memoryview(b"".join(token.tobytes() for token in tokens))
    return cast(memoryview, raw.cast(cast(Any, "f"), shape))
