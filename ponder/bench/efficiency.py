"""How much of a reply was needed: outcome efficiency, from the replies that a run has stored (2412.21187)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import fsum

from ponder.bench.metrics import outcome_efficiency
from ponder.bench.store import Record
from ponder.bench.summary import Row
from ponder.core.judge import Verifier

MOST = 20_000
"""Attempts that are read for it; a larger run says nothing about it rather than taking minutes."""


def efficiency_of(reply: str, reference: str, verifier: Verifier) -> float:
    """Return the share of a reply up to and including the paragraph that first states the right answer, 0 if none does.

    A paragraph is a round here, and its characters stand for its tokens, since the tokens of parts are not counted.
    The paper has a larger model cut replies into rounds, so its figures are not to be set beside these.
    """
    rounds = [part for part in reply.splitlines() if part.strip()]
    wanted = verifier.extract(reference) or reference
    stated = [verifier.extract(part) for part in rounds]
    right = [answer is not None and verifier.same(answer, wanted) for answer in stated]
    return outcome_efficiency([float(len(part)) for part in rounds], right) if rounds else 0.0


def with_efficiency(rows: Iterable[Row], records: Iterable[Record], verifiers: Mapping[str, Verifier]) -> list[Row]:
    """Return the rows with the mean outcome efficiency of their attempts; `records` need their traces.

    Attempts without a reference are left out, and so are tasks that `verifiers` does not hold.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for record in records:
        verifier = verifiers.get(record.key.task)
        trace = json.loads(record.trace)
        if verifier is None or trace["reference"] is None:
            continue
        reply = "\n".join((trace["solution"]["thinking"], trace["solution"]["answer"]))
        value = efficiency_of(reply, trace["reference"], verifier)
        found.setdefault((record.key.task, record.key.method), []).append(value)
    means = {key: fsum(values) / len(values) for key, values in found.items()}
    return [replace(row, outcome_efficiency=means.get((row.task, row.label))) for row in rows]
