"""Conversations that teach a language model to vote on steps, as the scorer `prm` asks it (2312.08935)."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from ponder.core.errors import DataError
from ponder.scorers.prm import Prm
from ponder.text.steps import unmarked
from ponder.train.prm.questions import Question
from ponder.train.prm.rows import Reply
from ponder.weights.staged import staged_file


class Written(NamedTuple):
    """How many conversations there are in a file, and how many votes of each kind in them."""

    rows: int
    votes: dict[str, int]


def write_votes(
    replies: Sequence[Reply],
    questions: Mapping[str, Question],
    marks: Sequence[str],
    prm: Prm,
    outcome: bool,
    out: Path,
) -> Written:
    """Write a conversation for each reply, as a JSON line for `ponder train sft`; return how much there is of each.

    All votes of a reply are learnt together, each without those before it: where the scorer puts "good" for what it
    does not know, so does the conversation. A step that is worth half and more is good. Raises `DataError` where all
    votes are equal, or there are none, and where the tag stands in a reply.
    """
    rows, counts = 0, {prm.good: 0, prm.bad: 0}
    with staged_file(out) as stage:
        with stage.open("w", encoding="utf-8") as file:
            for reply in replies:
                steps, votes = _steps(reply, marks), _votes(reply, prm, outcome)
                if not any(votes):
                    continue
                rows += 1
                for vote in filter(None, votes):
                    counts[vote] += 1
                row = _row(prm, questions[reply.key], steps, votes)
                file.write(json.dumps(row, ensure_ascii=False) + "\n")
        if not all(counts.values()):
            raise DataError(
                f"all {sum(counts.values())} votes are the same: there is nothing to learn; ask for other "
                f"questions, or raise --temperature"
            )
    return Written(rows, counts)


def _steps(reply: Reply, marks: Sequence[str]) -> list[str]:
    starts = [0, *(step.end for step in reply.steps)]
    return [unmarked(reply.text[start : step.end], marks) for start, step in zip(starts, reply.steps, strict=False)]


def _votes(reply: Reply, prm: Prm, outcome: bool) -> list[str | None]:
    """Return a vote for each step; of outcomes the last one alone has any."""
    if not outcome:
        return [prm.good if step.value >= 0.5 else prm.bad for step in reply.steps]
    if reply.correct is None or not reply.steps:
        return []
    return [*(None for _ in reply.steps[1:]), prm.good if reply.correct else prm.bad]


def _row(prm: Prm, question: Question, steps: Sequence[str], votes: Sequence[str | None]) -> dict[str, object]:
    prompt = prm.prompt(question.item.problem, steps)
    turns = [{"role": message.role, "content": message.text} for message in prompt.messages]
    if prm.layout == "turns":
        return {"messages": [*turns, {"role": "assistant", "content": prm.good}], "votes": votes}
    if any(prm.tag in step for step in steps):
        raise DataError(
            f"the tag {prm.tag!r} stands in a reply to {question.key}; choose one that never does, with --tag"
        )
    return {"messages": [*turns, {"role": "assistant", "content": prompt.prefill}], "votes": votes, "tag": prm.tag}
