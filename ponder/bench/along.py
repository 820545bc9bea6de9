"""Every stop rule at every threshold on recorded thoughts: what each saves and costs, in one pass and for nothing."""

from __future__ import annotations

import asyncio
import math
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path

from ponder.bench import stopping
from ponder.bench.graded import Grader, Grading, name_of
from ponder.bench.recorded import read_traces
from ponder.bench.replay import BATCH
from ponder.bench.results import SCHEMA
from ponder.bench.stopping import Outcome, Stops, outcome
from ponder.bench.summary import Arm, Attempt, Row, summarize
from ponder.bench.thoughts import Line, Thoughts, read_lines
from ponder.core.config import Value
from ponder.core.errors import DataError
from ponder.core.judge import Verifier
from ponder.verify import VerifierPool

FULL, AT_ONCE = "full", "at_once"
"""Labels of the two constants: every thought to its end, and an answer where the thought begins."""

COUNTS = (1, 2, 3, 4, 5, 8, 10)
CONVERGED = (2, 3)
THRESHOLDS = (0.0, 0.5, 0.7, 0.8, 0.85, 0.9, 0.93, 0.95, 0.97, 0.98, 0.99, 0.995, 0.999)
SHARES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5)
CHANCES = (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7)


@dataclass(frozen=True, slots=True)
class AlongPlan:
    """What to read, and how answers are judged."""

    path: Path
    grading: Grading = "recorded"
    verifier: Verifier | None = None
    probe: str | None = None
    """The name of the probe text whose answers are taken; by default the first one."""
    limit: int | None = None
    seed: int = 0
    """Of the rule that stops by chance."""


@dataclass(frozen=True, slots=True)
class Point:
    """A rule with its settings, and where it stops each thought."""

    method: str
    options: dict[str, Value]
    stops: Stops

    @property
    def label(self) -> str:
        """The rule's name with its settings."""
        options = ", ".join(f"{key}={_plain(value)}" for key, value in self.options.items())
        return f"{self.method}({options})" if options else self.method


def _plain(value: Value) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@dataclass(slots=True)
class Along:
    """What a file holds, and a row for each rule and threshold."""

    thoughts: Thoughts
    every: int
    """Tokens between two recorded probes, mostly."""
    verifier: str
    problems: int = 0
    unanswered: int = 0
    tokenizers: set[str] = field(default_factory=set)
    rows: list[Row] = field(default_factory=list)


async def read_thoughts(plan: AlongPlan) -> Along:
    """Read and judge all thoughts of a file. Raises `DataError` for one without probes."""
    lines: list[Line] = []
    tokenizers: set[str] = set()
    problems = unanswered = 0
    async with VerifierPool(os.cpu_count() or 1) as pool:
        grader = Grader(plan.grading, plan.verifier, pool)
        source = read_traces(plan.path, plan.limit)
        while batch := list(islice(source, BATCH)):
            if not problems:
                grader.look(batch)
            problems += len(batch)
            unanswered += sum(problem.answer is None for problem in batch)
            tokenizers.update(problem.tokenizer for problem in batch if problem.tokenizer)
            for graded in await asyncio.gather(*map(grader.grade, batch)):
                lines += await read_lines(graded, plan.probe, pool)
    _check(plan.path, lines)
    return Along(Thoughts(lines), gap_of(lines), name_of(grader.verifier), problems, unanswered, tokenizers)


def _check(path: Path, lines: Sequence[Line]) -> None:
    if not any(line.probes for line in lines):
        raise DataError(
            f"{path} has no probes, so that nothing tells what a thought that is stopped would answer; "
            f"`ponder record TASK --out FILE` records some"
        )


def gap_of(lines: Sequence[Line]) -> int:
    """Return the distance between two probes that occurs most; the smaller one of two."""
    gaps = Counter(b.at - a.at for line in lines for a, b in pairwise(line.probes))
    first = next(line.probes[0].at for line in lines if line.probes)
    return min(gaps, key=lambda gap: (-gaps[gap], gap)) if gaps else max(1, first)


def points(thoughts: Thoughts, every: int, seed: int = 0) -> Iterator[Point]:
    """Yield every rule at every threshold, the two constants first."""
    yield Point(FULL, {}, stopping.full(thoughts))
    yield Point(AT_ONCE, {}, stopping.at_once(thoughts))
    yield from _oracles(thoughts)
    for apart in (every, 2 * every, 4 * every):
        for count, stops in zip(COUNTS, stopping.dynasor(thoughts, apart, COUNTS), strict=True):
            yield Point("dynasor", {"every": apart, "count": count}, stops)
    for count in CONVERGED:
        found = stopping.answer_convergence(thoughts, every, count, THRESHOLDS)
        for threshold, stops in zip(THRESHOLDS, found, strict=True):
            yield Point("answer_convergence", {"every": every, "count": count, "threshold": threshold}, stops)
    if any(line.turns for line in thoughts.lines):
        for threshold, stops in zip(THRESHOLDS, stopping.deer(thoughts, THRESHOLDS), strict=True):
            yield Point("deer", {"threshold": threshold}, stops)
    typical = max(1, round(float(thoughts.end.mean())))
    for share in SHARES:
        tokens = max(1, round(share * typical))
        cut = stopping.fixed(thoughts, [tokens] * len(thoughts))
        yield Point("constant_cut", {"share": share, "typical": typical}, cut)
    for chance, stops in zip(CHANCES, stopping.by_chance(thoughts, every, CHANCES, seed), strict=True):
        yield Point("random", {"every": every, "chance": chance}, stops)


def _oracles(thoughts: Thoughts) -> Iterator[Point]:
    """Yield the stop where the file says that the answer is derived, and the stop at the first right probe."""
    if any(line.exit is not None for line in thoughts.lines):
        yield Point("oracle", {}, stopping.fixed(thoughts, [line.exit for line in thoughts.lines]))
    first = [next((probe.at for probe in line.probes if probe.right == 1), None) for line in thoughts.lines]
    yield Point("first_right", {}, stopping.fixed(thoughts, first))


def arm_of(point: Point, thoughts: Thoughts, found: Outcome, source: str) -> Arm:
    """Return the attempts of a rule as summaries take them."""
    arm = Arm(point.method, point.options, source, source)
    seeds: Counter[str] = Counter()
    columns = zip(thoughts.lines, *(column.tolist() for column in found), strict=True)
    for line, think, probe, answer, right, cut in columns:
        by_role = {"think": think, "probe": probe, "answer": answer}
        tokens = think + probe + answer
        correct = None if math.isnan(right) else bool(right)
        seed = seeds[line.question]
        arm.add(Attempt(line.question, seed, correct, tokens, by_role, 0, 0, cut, 0.0, None, line.exact))
        seeds[line.question] += 1
    return arm


def replay_along(plan: AlongPlan, margin: float = 0.05) -> Along:
    """Return every rule at every threshold as a row, compared with full thinking on the same thoughts.

    The two constants are what a mixture by chance is drawn from. Raises `PonderError` for a file that is broken or has
    no probes.
    """
    along = asyncio.run(read_thoughts(plan))
    source = plan.path.name.removesuffix(".gz").removesuffix(".jsonl")
    arms = {
        point.label: arm_of(point, along.thoughts, outcome(along.thoughts, point.stops), source)
        for point in points(along.thoughts, along.every, plan.seed)
    }
    along.rows = summarize(arms, FULL, margin=margin, constants=(FULL, AT_ONCE))
    return along


def along_json(plan: AlongPlan, along: Along) -> dict[str, object]:
    """Return the object that `--json` prints; docs/replay.md describes it."""
    run: dict[str, object] = {
        "schema": SCHEMA,
        "traces": str(plan.path),
        "grading": plan.grading,
        "verifier": along.verifier,
        "probe": plan.probe,
        "every": along.every,
        "problems": along.problems,
        "thoughts": len(along.thoughts),
        "probes": sum(len(line.probes) for line in along.thoughts.lines),
        "without_answer": along.unanswered,
        "tokenizers": sorted(along.tokenizers),
    }
    return {"run": run, "rows": [row.to_json() for row in along.rows]}
