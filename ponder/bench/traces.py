"""What a reader sees of single attempts: their text by role, forced text apart, and a bounded choice of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypedDict, cast

from ponder.bench.store import Record
from ponder.bench.trees import EXCERPT, Twig, shortened, twigs

Kind = Literal["think", "answer", "probe", "draft", "verify", "route", "forced"]
"""A role, or `forced` for text that no model generated: the method wrote it into the reply."""

ALL = 400
"""A page with so many attempts holds them all."""
FIRST = 50
"""Of more, so many of each method, and then the wrong and the cut ones."""
LONGEST = 40_000
"""Characters of one segment; of a longer one, the page shows both ends."""
MOST_CHARACTERS = 8_000_000
"""Characters of all traces in one page."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of an attempt; `tokens` is None for text that is part of a call counted elsewhere, or was forced."""

    kind: Kind
    text: str
    tokens: int | None = None
    finish: str = ""
    """How the call ended, on its last segment."""


@dataclass(frozen=True, slots=True)
class TraceView:
    """One attempt as a page shows it."""

    task: str
    method: str
    seed: int
    id: str
    question: str
    reference: str | None
    extracted: str | None
    correct: bool | None
    tokens: int
    exact: bool
    finish: str
    truncated: bool
    segments: tuple[Segment, ...]
    tree: tuple[Twig, ...] = ()
    """Line by line, where the method drew side by side or forked."""

    @property
    def characters(self) -> int:
        """The size of all texts."""
        texts = [*(segment.text for segment in self.segments), *(twig.text for twig in self.tree)]
        return len(self.question) + sum(map(len, texts))


class _Call(TypedDict):
    role: Kind
    thinking: str
    answer: str
    think_tokens: int
    answer_tokens: int
    latent: int
    finish: str


class _Solution(TypedDict):
    answer: str
    thinking: str


class _Trace(TypedDict):
    question: str
    reference: str | None
    solution: _Solution
    calls: list[_Call]


def view(record: Record) -> TraceView:
    """Return a stored attempt as a page shows it. Needs the record's trace, so read it with `traces=True`."""
    trace = cast(_Trace, json.loads(record.trace))
    return TraceView(
        task=record.key.task,
        method=record.key.method,
        seed=record.key.seed,
        id=record.key.question,
        question=trace["question"],
        reference=trace["reference"],
        extracted=record.extracted,
        correct=record.correct,
        tokens=record.tokens,
        exact=record.exact,
        finish=record.finish,
        truncated=record.truncated,
        segments=tuple(_segments(trace)),
        tree=tuple(shortened(twig, EXCERPT) for twig in twigs(cast(Sequence[Mapping[str, object]], trace["calls"]))),
    )


def choose(records: Iterable[Record], total: int) -> list[Record]:
    """Return the attempts that a page holds: all of up to 400, else each method's first 50, and then as many wrong or
    cut ones as fit, in the order of `records`. Holds no more in memory than it returns.
    """
    if total <= ALL:
        return list(records)
    seen: dict[tuple[str, str], int] = {}
    first: list[Record] = []
    failed: list[Record] = []
    for record in records:
        arm = (record.key.task, record.key.method)
        seen[arm] = seen.get(arm, 0) + 1
        if seen[arm] <= FIRST:
            first.append(record)
        elif (record.truncated or record.correct is False) and len(failed) < ALL:
            failed.append(record)
    return first + failed[: max(0, ALL - len(first))]


def fit(views: Iterable[TraceView]) -> list[TraceView]:
    """Return the first traces whose texts together stay within what a page can hold; long segments are shortened."""
    kept: list[TraceView] = []
    size = 0
    for trace in views:
        short = _shortened(trace)
        size += short.characters
        if size > MOST_CHARACTERS:
            break
        kept.append(short)
    return kept


def _segments(trace: _Trace) -> list[Segment]:
    """Every call in order; between plain calls, what the solution holds and no call generated is forced text."""
    solution = trace["solution"]
    plain = [call for call in trace["calls"] if call["role"] in ("think", "answer")]
    forced_think = _forced(solution["thinking"], [call["thinking"] for call in plain], alone=0)
    forced_answer = _forced(solution["answer"], [call["answer"] for call in plain], alone=-1)
    found: list[Segment] = []
    at = 0
    for call in trace["calls"]:
        if call["role"] in ("think", "answer"):
            found += _plain(call, forced_think[at], forced_answer[at])
            at += 1
        else:
            tokens = call["think_tokens"] + call["answer_tokens"] + call["latent"]
            found.append(Segment(call["role"], _joined(call), tokens, call["finish"]))
    for text in (forced_think[at], forced_answer[at]):
        if text.strip():
            found.append(Segment("forced", text))
    return found


def _plain(call: _Call, forced_think: str, forced_answer: str) -> list[Segment]:
    """One plain call: its thought and its answer, each behind the text that was forced in front of it."""
    found: list[Segment] = []
    parts: tuple[tuple[Kind, str, int, str], ...] = (
        ("think", call["thinking"], call["think_tokens"] + call["latent"], forced_think),
        ("answer", call["answer"], call["answer_tokens"], forced_answer),
    )
    for kind, text, tokens, forced in parts:
        if forced.strip():
            found.append(Segment("forced", forced))
        if text or tokens:
            found.append(Segment(kind, text, tokens))
    if found and found[-1].kind != "forced":
        last = found[-1]
        found[-1] = Segment(last.kind, last.text, last.tokens, call["finish"])
    return found


def _forced(whole: str, texts: Sequence[str], alone: int) -> list[str]:
    """Return what stands in `whole` before each of `texts`, and after the last; nothing where they are not its parts.

    A vote's solution is one call of many, so a text that does not occur is passed over. Where no call generated
    anything, all of `whole` is forced and goes to the gap `alone`.
    """
    gaps = [""] * (len(texts) + 1)
    if not any(texts):
        gaps[alone] = whole
        return gaps
    position = 0
    for i, text in enumerate(texts):
        at = whole.find(text, position) if text else -1
        if at >= 0:
            gaps[i] = whole[position:at]
            position = at + len(text)
    if position:
        gaps[-1] = whole[position:]
    return gaps


def _joined(call: _Call) -> str:
    return "\n".join(part for part in (call["thinking"], call["answer"]) if part)


def _shortened(trace: TraceView) -> TraceView:
    segments = tuple(replace(segment, text=_both_ends(segment.text)) for segment in trace.segments)
    return replace(trace, question=_both_ends(trace.question), segments=segments)


def _both_ends(text: str) -> str:
    left_out = len(text) - LONGEST
    if left_out <= 0:
        return text
    half = LONGEST // 2
    return f"{text[:half]}\n[... {left_out:,} characters left out ...]\n{text[-half:]}"
