"""Conversations that teach a language model to vote on steps, as the scorer `prm` asks it in turns (2312.08935)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from ponder.core.errors import DataError
from ponder.scorers.prm import Prm
from ponder.text.steps import unmarked
from ponder.train.prm.questions import Question
from ponder.train.prm.rows import Reply
from ponder.weights.staged import staged_file


def write_votes(
    replies: Sequence[Reply],
    questions: Mapping[str, Question],
    marks: Sequence[str],
    prm: Prm,
    outcome: bool,
    out: Path,
) -> dict[str, int]:
    """Write a conversation for each step, as JSON lines for `ponder train sft`; return how many have each vote.

    A step that is worth half and more is good. Raises `DataError` where all votes are equal, or there are none.
    """
    counts = {prm.good: 0, prm.bad: 0}
    with staged_file(out) as stage:
        with stage.open("w", encoding="utf-8") as file:
            for reply in replies:
                for steps, vote in _votes(reply, marks, prm, outcome):
                    counts[vote] += 1
                    messages = prm.prompt(questions[reply.key].item.problem, steps).messages
                    turns = [{"role": message.role, "content": message.text} for message in messages]
                    turns.append({"role": "assistant", "content": vote})
                    file.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
        if not all(counts.values()):
            raise DataError(
                f"all {sum(counts.values())} votes are the same: there is nothing to learn; ask for other "
                f"questions, or raise --temperature"
            )
    return counts


def _votes(reply: Reply, marks: Sequence[str], prm: Prm, outcome: bool) -> Iterator[tuple[list[str], str]]:
    """Yield the steps up to each one, and the vote on it; of outcomes the whole reply and its vote."""
    steps, at = list[str](), 0
    for step in reply.steps:
        steps.append(unmarked(reply.text[at : step.end], marks))
        at = step.end
        if not outcome:
            yield list(steps), prm.good if step.value >= 0.5 else prm.bad
    if outcome and reply.correct is not None and steps:
        yield steps, prm.good if reply.correct else prm.bad
