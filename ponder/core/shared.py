"""What all views of one run have in common: its engines, its purse, its record, and who is told of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ponder.core.engine import Channel, Engine
from ponder.core.problem import Prompt
from ponder.core.trace import Call, Purse, Trace


@dataclass(slots=True)
class Branch:
    """Counters of one branch: calls so far, and how often each prompt was asked."""

    calls: int = 0
    asked: dict[tuple[Prompt, tuple[int | str, ...]], int] = field(default_factory=dict)


@dataclass(slots=True)
class Shared:
    """What all views of one run have in common."""

    engines: Mapping[str, Engine]
    seed: int
    purse: Purse
    extract: Callable[[str], str | None]
    same: Callable[[str, str], bool]
    on_show: Callable[[str, Channel], None] | None
    on_note: Callable[[str], None] | None
    on_call: Callable[[Call], None] | None
    trace: Trace = field(default_factory=Trace)
    branches: dict[tuple[int, ...], Branch] = field(default_factory=dict)


def text_only(text: str) -> str | None:
    """Read a whole reply as its answer: what a run without a task does."""
    return text.strip() or None


def equal(a: str, b: str) -> bool:
    """Compare two answers as text."""
    return a.strip() == b.strip()
