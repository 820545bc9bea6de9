"""What a server really does, as a value: one fact for each question, how it was learnt, and what learning it cost."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from ponder.core.errors import DataError

FactValue = bool | int | float | str | None
SCHEMA = 1

CHEAP = (
    "server", "context", "marks", "off", "budget_field", "streams", "speed", "thinks", "usage", "reasoning_count",
    "max_tokens", "stop_strings", "logprobs", "n", "prefill", "hang_up",
)  # fmt: skip
"""Facts that cost nothing, or some two hundred tokens together."""

COSTLY = ("seeds", "prefix_cache", "budget", "escapes")
"""Facts that need longer replies or prompts; they are asked for."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One thing about a server. `value` None is unknown; `how` says in a sentence why it is believed, or why unknown.

    `tokens` is what was generated to learn it; facts that come from one reply share its cost with the first of them.
    """

    name: str
    value: FactValue
    how: str
    tokens: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What was found out about one model at one address, and when (UTC, ISO 8601)."""

    url: str
    model: str
    date: str
    facts: tuple[Fact, ...]

    @property
    def tokens(self) -> int:
        """Tokens that were generated to learn all this."""
        return sum(fact.tokens for fact in self.facts)

    def fact(self, name: str) -> Fact | None:
        """Return a fact by its name, or None where it was not asked for."""
        return next((fact for fact in self.facts if fact.name == name), None)

    def value(self, name: str) -> FactValue:
        """Return the value of a fact; None where it is unknown or was not asked for."""
        fact = self.fact(name)
        return fact.value if fact else None

    def merged(self, newer: Report) -> Report:
        """Return the newer report, with those facts of this one that it did not ask about."""
        kept = {fact.name: fact for fact in self.facts} | {fact.name: fact for fact in newer.facts}
        return replace(newer, facts=tuple(in_order(kept.values())))

    def as_json(self) -> dict[str, object]:
        """Return the report as JSON values."""
        return {"schema": SCHEMA, **asdict(self), "facts": [asdict(fact) for fact in self.facts]}

    @classmethod
    def from_json(cls, value: object) -> Report:
        """Read what `as_json` wrote. Raises `DataError`."""
        told = value if isinstance(value, Mapping) else {}
        facts = told.get("facts")
        if told.get("schema") != SCHEMA or not isinstance(facts, list):
            raise DataError(f"this is no report of ponder doctor in schema {SCHEMA}; examine the server again")
        try:
            read = tuple(Fact(str(f["name"]), _value(f["value"]), str(f["how"]), int(f["tokens"])) for f in facts)
            return cls(str(told["url"]), str(told["model"]), str(told["date"]), read)
        except (KeyError, TypeError, ValueError):
            raise DataError("a report of ponder doctor is broken; examine the server again") from None


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Return facts in the order of the tables above."""
    return sorted(facts, key=lambda fact: (*CHEAP, *COSTLY).index(fact.name))


def _value(value: object) -> FactValue:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise ValueError(value)


def now() -> str:
    """Return the time as reports write it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def age(report: Report) -> float:
    """Return how many seconds ago a report was made; infinity where its date cannot be read."""
    try:
        made = datetime.fromisoformat(report.date)
    except ValueError:
        return float("inf")
    return (datetime.now(UTC) - made).total_seconds() if made.tzinfo else float("inf")


class ReportStore:
    """Reports by address and model, a small file each, in the user's cache folder or in `$PONDER_CACHE`."""

    def __init__(self, root: Path | None = None) -> None:
        self._root = root or _default_root()

    def path(self, url: str, model: str) -> Path:
        """Return where the report of a model at an address is kept."""
        digest = hashlib.blake2b(f"{url.rstrip('/')}#{model}".encode(), digest_size=12).hexdigest()
        return self._root / f"{digest}.json"

    def load(self, url: str, model: str) -> Report | None:
        """Return what was found out before, or None where nothing was or it cannot be read."""
        try:
            found = Report.from_json(json.loads(self.path(url, model).read_text("utf-8")))
        except (OSError, ValueError, DataError):
            return None
        return found if (found.url, found.model) == (url, model) else None

    def save(self, report: Report) -> Path:
        """Keep a report, all of it or nothing; return its path."""
        path = self.path(report.url, report.model)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{os.getpid()}.part")
        try:
            draft.write_text(json.dumps(report.as_json(), ensure_ascii=False, indent=1), "utf-8")
            os.replace(draft, path)
        finally:
            draft.unlink(missing_ok=True)
        return path


def _default_root() -> Path:
    if given := os.environ.get("PONDER_CACHE"):
        return Path(given) / "doctor"
    from platformdirs import user_cache_path

    return user_cache_path("ponder") / "doctor"
