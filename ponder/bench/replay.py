"""Methods on recorded samples: each runs as it stands, on an engine that serves what was recorded, in order."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from ponder.bench.curves import Question, question_of
from ponder.bench.graded import CLOSE, OPEN, Disagreement, GradedProblem, Grader, Grading, Reply, name_of
from ponder.bench.recorded import RecordedProblem, read_traces
from ponder.bench.rewards import ReplayCatalogue, rewards_of
from ponder.bench.specs import build_methods, parse_options, split_specs
from ponder.bench.summary import Arm, Attempt
from ponder.bench.thoughts import pieces_of
from ponder.bench.turns import Turns
from ponder.core.config import Value
from ponder.core.engine import Chunk, Engine, Sampling, Think
from ponder.core.errors import DataError, OptionError, nearest
from ponder.core.judge import Verifier
from ponder.core.method import Method, check
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.along import Along, Probe, Thought
from ponder.methods import Catalogue
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.verify import VerifierPool

Scalar = str | int | float | bool | None
UNLIMITED = Sampling(max_tokens=2**31 - 1)
BATCH = 32
"""So many problems are judged at once."""


@runtime_checkable
class Voting(Protocol):
    """A method that takes several samples of a problem for one answer."""

    n: int


@runtime_checkable
class Nesting(Protocol):
    """A method that lets another one reply."""

    inner: Method


@dataclass(frozen=True, slots=True)
class Planned:
    """A method to replay. `sized` says that its `n` was given; else it takes all the samples that there are."""

    label: str
    name: str
    options: dict[str, Value]
    method: Method
    sized: bool

    def of_size(self, samples: int) -> tuple[Method, int]:
        """Return the method for a problem with so many samples, and how many of them one attempt takes."""
        if not isinstance(self.method, Voting):
            return self.method, 1
        if self.sized:
            return self.method, self.method.n
        return cast(Method, replace(cast(Any, self.method), n=samples)), samples


@dataclass(frozen=True, slots=True)
class ReplayPlan:
    """What to replay, and how answers are read and judged."""

    path: Path
    methods: Sequence[Planned]
    grading: Grading = "recorded"
    verifier: Verifier | None = None
    by: str | None = None
    common: bool = False
    """Only problems that have samples with every value of `by`."""
    limit: int | None = None
    disagreements: bool = False
    shortcuts: bool = True
    """Count votes over whole replies without running an event loop for each: equal results, many times faster."""
    curve: bool = False
    """Keep what `mean_curve` needs of every problem."""
    reward: str | None = None
    """Which of the recorded scores is the reward; by default the field of that name."""


@dataclass(slots=True)
class Subset:
    """The samples with one value of the field that `by` names, or all of them."""

    value: Scalar = None
    problems: int = 0
    samples: int = 0
    closed: int = 0
    """Samples whose thought came to its end, or that have none."""


@dataclass(slots=True)
class Replayed:
    """What came out: an arm for each method and subset, by label, and what the samples are like."""

    arms: dict[str, Arm] = field(default_factory=dict)
    values: dict[str, Scalar] = field(default_factory=dict)
    """Label to the value of the field that `by` names."""
    subsets: dict[Scalar, Subset] = field(default_factory=dict)
    problems: int = 0
    left_out: int = 0
    """Problems that not every subset has."""
    unanswered: int = 0
    """Problems without a reference answer: counted apart, never as wrong."""
    verifier: str = ""
    """What judged, where the source did not."""
    by_source: int = 0
    by_ponder: int = 0
    unknown: int = 0
    tokenizers: set[str] = field(default_factory=set)
    disagreements: list[Disagreement] = field(default_factory=list)
    questions: dict[Scalar, list[Question]] = field(default_factory=dict)
    """By subset, the problems whose samples could all be judged, where the plan asks for a curve."""
    timeouts: int = 0
    failures: int = 0


def plan_methods(text: str, catalogue: Catalogue, options: Sequence[str] = ()) -> list[Planned]:
    """Build the methods of a list such as `sample,self_consistency:n=4`."""
    shared = parse_options(options)
    catalogue = ReplayCatalogue(catalogue.sources)
    planned = []
    for spec, (label, method) in zip(split_specs(text), build_methods(text, catalogue, options).items(), strict=True):
        config = catalogue.to_config(method)
        own = spec.partition(":")[2]
        sized = "n" in shared or "n" in parse_options(own.split(",") if own else ())
        planned.append(Planned(label, str(config.pop("method")), config, method, sized))
    return planned


async def replay(plan: ReplayPlan) -> Replayed:
    """Run every method over every problem of the file. Raises `PonderError` for a bad file or a method that asks for
    what was not recorded.
    """
    common = _common(plan) if plan.common else None
    result = Replayed()
    async with VerifierPool(os.cpu_count() or 1) as pool:
        grader = Grader(plan.grading, plan.verifier, pool)
        ours = grader if plan.grading == "ponder" else Grader("ponder", plan.verifier, pool)
        source = _chosen(read_traces(plan.path, plan.limit, plan.reward), common, result)
        while batch := list(islice(source, BATCH)):
            if result.problems == len(batch):
                grader.look(batch)
            graded = await asyncio.gather(*(grader.grade(problem) for problem in batch))
            for one in graded:
                await _replay_problem(plan, one, pool, result)
            if plan.disagreements:
                judged = graded if ours is grader else await asyncio.gather(*map(ours.grade, batch))
                result.disagreements += [found for one in judged for found in _differences(one)]
        result.verifier = name_of(grader.verifier)
        result.timeouts, result.failures = pool.timeouts, pool.failures
    result.by_source, result.by_ponder, result.unknown = grader.by_source, grader.by_ponder, grader.unknown
    if plan.by is not None and not result.subsets:
        raise OptionError(f"no sample of {plan.path} has a field {plan.by!r}{_fields_of(plan)}")
    return result


def _common(plan: ReplayPlan) -> frozenset[str]:
    """Return the ids of the problems that have samples with every value of the field."""
    if plan.by is None:
        raise OptionError("--common compares subsets of samples; name the field that tells them apart with --by")
    values: dict[str, set[Scalar]] = {}
    for problem in read_traces(plan.path, plan.limit):
        values[problem.id] = set(_groups(problem, range(len(problem.samples)), plan.by))
    every = set().union(*values.values())
    common = frozenset(id_ for id_, own in values.items() if own == every and own)
    if every and not common:
        listed = ", ".join(sorted(map(str, every)))
        raise DataError(f"no problem of {plan.path} has samples with every {plan.by} ({listed}); leave --common out")
    return common


def _fields_of(plan: ReplayPlan) -> str:
    problem = next(read_traces(plan.path))
    sources = (problem.fields, *(sample.fields for sample in problem.samples))
    known = sorted({name for source in sources for name in source} - {"samples", "text", "probes"})
    return f"{nearest(plan.by or '', known)}; the first problem has {', '.join(known)}"


def _chosen(
    problems: Iterable[RecordedProblem], common: frozenset[str] | None, result: Replayed
) -> Iterator[RecordedProblem]:
    for problem in problems:
        if common is not None and problem.id not in common:
            result.left_out += 1
            continue
        result.problems += 1
        result.unanswered += problem.answer is None
        if problem.tokenizer is not None:
            result.tokenizers.add(problem.tokenizer)
        yield problem


def _groups(problem: RecordedProblem, indexes: Iterable[int], by: str | None) -> dict[Scalar, list[int]]:
    """Return the indexes of the samples by the value of a field; samples that lack it are left out."""
    groups: dict[Scalar, list[int]] = {}
    for index in indexes:
        if by is None:
            groups.setdefault(None, []).append(index)
            continue
        value = problem.samples[index].fields.get(by, problem.fields.get(by))
        if isinstance(value, str | int | float | bool):
            groups.setdefault(value, []).append(index)
    return dict(sorted(groups.items(), key=lambda item: (isinstance(item[0], str), item[0])))


def _differences(graded: GradedProblem) -> Iterator[Disagreement]:
    """Yield the samples of a problem, judged by us, that their source graded otherwise."""
    gold = graded.problem.answer
    for index, reply in enumerate(graded.replies):
        recorded = reply.sample.correct
        if gold is not None and recorded is not None and recorded is not reply.correct:
            yield Disagreement(graded.problem.id, index, recorded, reply.correct, reply.stated, gold)


async def _replay_problem(plan: ReplayPlan, graded: GradedProblem, pool: VerifierPool, result: Replayed) -> None:
    for value, indexes in _groups(graded.problem, range(len(graded.replies)), plan.by).items():
        replies = [graded.replies[index] for index in indexes]
        subset = result.subsets.setdefault(value, Subset(value))
        subset.problems += 1
        subset.samples += len(replies)
        subset.closed += sum(not reply.cut for reply in replies)
        part = graded if len(indexes) == len(graded.replies) else replace(graded, replies=replies)
        if plan.curve and (question := question_of(part)) is not None:
            result.questions.setdefault(value, []).append(question)
        for planned in plan.methods:
            label = planned.label if plan.by is None else f"{planned.label}, {plan.by}={value}"
            arm = result.arms.get(label)
            if arm is None:
                arm = Arm(planned.name, planned.options, _stem(plan.path), _stem(plan.path))
                result.arms[label], result.values[label] = arm, value
            await _replay_method(plan, planned, part, pool, arm)


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").removesuffix(".jsonl")


async def _replay_method(
    plan: ReplayPlan, planned: Planned, graded: GradedProblem, pool: VerifierPool, arm: Arm
) -> None:
    """Make as many attempts as there are samples for: each takes the next ones."""
    method, size = planned.of_size(len(graded.replies))
    if size > len(graded.replies):
        raise DataError(
            f"{plan.path}: problem {graded.problem.id!r} has {len(graded.replies)} samples, and {planned.label} takes "
            f"{size}; lower n, or leave it out to take all there are"
        )
    for seed in range(len(graded.replies) // size):
        group = graded.replies[seed * size : (seed + 1) * size]
        if plan.shortcuts and _is_sample(method):
            arm.add(_attempt(graded, seed, group, group[0].correct, group[0].cut))
        elif plan.shortcuts and isinstance(method, SelfConsistency) and _is_sample(method.inner):
            winner = group[plurality(graded, group)]
            arm.add(_attempt(graded, seed, group, winner.correct, winner.cut))
        else:
            arm.add(await _solve(method, graded, group, seed, pool))


def _is_sample(method: Method) -> bool:
    return isinstance(method, Sample) and not method.cot


def plurality(graded: GradedProblem, group: Sequence[Reply]) -> int:
    """Return the index of the first reply that states the answer which most replies state; ties: first seen.

    The same choice as `SelfConsistency` makes, without its calls.
    """
    counts: dict[str, int] = {}
    first: dict[str, int] = {}
    kinds: dict[str, str] = {}
    for index, reply in enumerate(group):
        stated = reply.stated
        if stated is None:
            continue
        kind = kinds.get(stated)
        if kind is None:
            kind = stated
            if not graded.by_prediction:
                kind = next((known for known in first if graded.same(known, stated)), stated)
            kinds[stated] = kind
            first.setdefault(kind, index)
        counts[kind] = counts.get(kind, 0) + 1
    return first[max(counts, key=counts.__getitem__)] if counts else 0


def _attempt(
    graded: GradedProblem, seed: int, group: Sequence[Reply], correct: bool | None, truncated: bool
) -> Attempt:
    """Return the attempt that took these replies whole."""
    think = sum(reply.think_tokens for reply in group)
    answer = sum(reply.answer_tokens for reply in group)
    by_role = {role: tokens for role, tokens in (("think", think), ("answer", answer)) if tokens}
    exact = all(reply.sample.exact for reply in group)
    correct = None if graded.problem.answer is None else correct
    return Attempt(graded.problem.id, seed, correct, think + answer, by_role, 0, 0, truncated, 0.0, None, exact)


async def _solve(
    method: Method, graded: GradedProblem, group: Sequence[Reply], seed: int, pool: VerifierPool
) -> Attempt:
    """Run a method on an engine that has these replies to give."""
    recorded = graded.problem
    # A race between samples is decided token by token, however little is asked of the engine; and what is no vote over
    # plain samples may stop or begin a reply wherever it likes.
    races = isinstance(method, BestOfN) and method.stop_at is not None
    plain = isinstance(method.inner if isinstance(method, Nesting) else method, Sample)
    whole = plain and not races and not any(method.needs().values())
    thoughts = [_thought(reply, whole) for reply in group]
    rewards = rewards_of(["".join(piece.text for piece in thought.pieces) for thought in thoughts], group)
    problem = replace(Problem.of(recorded.question or recorded.id, recorded.id), meta=rewards)
    name = f"recorded replies to {recorded.id}"
    along = Along(thoughts, name=name, think=Think(OPEN, CLOSE), problem=problem)
    engine: Engine = Turns(along) if races else along
    check(method, {"main": engine})
    part = replace(graded, replies=list(group))
    run = Run(engine, sampling=UNLIMITED, seed=seed, extract=part.extract, same=part.same)
    solution = await method.solve(problem, run)
    trace = run.trace
    return Attempt(
        recorded.id,
        seed,
        await part.judge(_boxed(solution.answer, group), pool),
        trace.tokens,
        {role: tokens for role, tokens in trace.tokens_by_role.items()},
        trace.prompt_tokens,
        trace.cached_tokens,
        solution.finish in ("length", "budget", "deadline"),
        0.0,
        None,
        trace.exact,
    )


def _boxed(answer: str, group: Sequence[Reply]) -> str:
    """Return an answer that is a recorded probe's in the box in which it was asked for."""
    probed = any(probe.answer == answer for reply in group for probe in reply.sample.probes)
    return f"\\boxed{{{answer}}}" if answer and probed else answer


def _thought(reply: Reply, whole: bool) -> Thought:
    """Return a reply for the engine: in two pieces, thought and answer, or token by token."""
    sample = reply.sample
    probes = tuple(Probe(*probe) for probe in sample.probes)
    if whole:
        end = len(sample.text) - (0 if reply.inside else len(reply.answer))
        parts = ((sample.text[:end], reply.think_tokens), (sample.text[end:], reply.answer_tokens))
        pieces = tuple(Chunk(text, tokens=tokens, exact=False) for text, tokens in parts if text or tokens)
    else:
        pieces = pieces_of(sample)
    if reply.inside:
        # What was read inside a thought that is not closed stands for its answer, and costs nothing.
        pieces = (*pieces, Chunk(CLOSE + reply.answer, tokens=0))
    return Thought(pieces, probes, sample.exact, reply.opened, "length" if reply.cut else "stop")
