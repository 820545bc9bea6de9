"""Before a run starts: how many tokens, how long, what price; learnt from earlier runs of the same kind."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from ponder.bench.prices import Price

KEPT = 500
"""So many kinds of run are remembered; the oldest go first."""


@dataclass(frozen=True, slots=True)
class Past:
    """What attempts of one kind took in the mean, and how fast the model was with several at once."""

    attempts: int
    tokens: float
    prompt_tokens: float
    tokens_per_second: float


@dataclass(frozen=True, slots=True)
class Forecast:
    """`tokens`, `seconds` and `cost` are None where some of the attempts are of a kind never run before."""

    attempts: int
    most_tokens: int
    """If every single reply ran to its limit; methods that call a model several times may need a multiple."""
    tokens: float | None
    seconds: float | None
    cost: float | None

    def sentence(self, price: Price | None) -> str:
        """Return the forecast in one line."""
        head = f"{self.attempts:,} attempts to make"
        if self.tokens is None or self.seconds is None:
            return f"{head}, at most {self.most_tokens:,} tokens if each is one reply; no earlier run to learn from"
        text = f"{head}: about {self.tokens:,.0f} generated tokens, {duration(self.seconds)}"
        if price is not None and self.cost is not None:
            text += f", {self.cost:.4g} {price.currency}"
        return f"{text} (from earlier runs)"


def duration(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class History:
    """What earlier runs took, by model, task and method: a small JSON file in the user's cache folder."""

    def __init__(self, path: Path | None = None) -> None:
        self._path = path or _default_path()

    def past(self, model: str, task: str, method: str, max_tokens: int) -> Past | None:
        """Return what is known of one kind of attempt."""
        found = self._read().get(_kind(model, task, method, max_tokens))
        if not found:
            return None
        return Past(int(found["attempts"]), found["tokens"], found["prompt_tokens"], found["tokens_per_second"])

    def remember(self, model: str, task: str, method: str, max_tokens: int, past: Past) -> None:
        """Note what one kind of attempt took; a file that cannot be written is no reason to fail a run."""
        table = self._read()
        key = _kind(model, task, method, max_tokens)
        table.pop(key, None)
        table[key] = {
            "attempts": past.attempts,
            "tokens": past.tokens,
            "prompt_tokens": past.prompt_tokens,
            "tokens_per_second": past.tokens_per_second,
        }
        kept = dict(list(table.items())[-KEPT:])
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            temporary = self._path.with_suffix(f".{os.getpid()}.tmp")
            temporary.write_text(json.dumps(kept), encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            return

    def _read(self) -> dict[str, dict[str, float]]:
        try:
            table = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return cast(dict[str, dict[str, float]], table) if isinstance(table, dict) else {}


def forecast(
    history: History,
    model: str,
    todo: Mapping[tuple[str, str], int],
    max_tokens: int,
    price: Price | None,
) -> Forecast:
    """Forecast the attempts still to make; `todo` counts them by (task, method)."""
    attempts = sum(todo.values())
    tokens = seconds = cost = 0.0
    known = True
    for (task, method), count in todo.items():
        past = history.past(model, task, method, max_tokens) if count else None
        if past is None:
            known = known and not count
            continue
        tokens += count * past.tokens
        seconds += count * past.tokens / past.tokens_per_second if past.tokens_per_second else 0.0
        cost += price.cost(count * past.prompt_tokens, 0, count * past.tokens) if price else 0.0
    most = attempts * max_tokens
    if not known:
        return Forecast(attempts, most, None, None, None)
    return Forecast(attempts, most, tokens, seconds, cost if price else None)


def _kind(model: str, task: str, method: str, max_tokens: int) -> str:
    """A shorter limit cuts replies, so lengths under one limit say nothing about another."""
    return "\t".join((model, task, method, str(max_tokens)))


def _default_path() -> Path:
    from platformdirs import user_cache_path

    override = os.environ.get("PONDER_CACHE")
    return (Path(override) if override else user_cache_path("ponder")) / "history.json"
