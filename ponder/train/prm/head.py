"""Fits the head of a reward model to states behind steps, and measures it on questions that it never saw."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ponder.core.engine import Engine
from ponder.core.errors import DataError
from ponder.core.run import Run
from ponder.scorers.prm_head import STEM, states_behind
from ponder.scorers.probe import KIND
from ponder.scorers.stepwise import asked
from ponder.train.prm.measure import Area, Calibration, area, area_within, calibration
from ponder.train.prm.questions import Question
from ponder.train.prm.rows import Reply, Step
from ponder.train.probe import Arrays, Settings, fit, probe_of
from ponder.weights.state import save_state
from ponder.weights.tensors import Array

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Seen:
    """A step with the state behind it; `place` counts the steps of its reply from 0."""

    reply: Reply
    step: Step
    place: int
    state: Array


class Cost(NamedTuple):
    """What reading states took: calls, prompt positions that no cache knew, and seconds of the clock."""

    calls: int
    positions: int
    seconds: float

    def told(self) -> dict[str, float]:
        """Return the calls, and what one took: each is a step."""
        each = max(1, self.calls)
        return {"calls": self.calls, "positions": self.positions / each, "seconds": self.seconds / each}


@dataclass(frozen=True, slots=True)
class Measured:
    """On held-out questions: steps, questions, the areas by what scores, and the calibration.

    `areas` has `head` and its controls, some of them `within` single questions, and `decided`: the head on steps that
    the lab calls right or wrong. `replies` says how well the least, the mean and the last score of a whole reply's
    steps tell whether it is right, and whether it is the right one of two to one question (`..._within`).
    """

    questions: int
    steps: int
    good: float
    areas: Mapping[str, Area]
    replies: Mapping[str, Area]
    calibration: Calibration


def used(reply: Reply, outcome: bool) -> list[tuple[int, Step]]:
    """Return the steps of a reply that a head learns from, with their places; of outcomes the end of a whole one."""
    steps = list(enumerate(reply.steps))
    if not outcome:
        return steps
    if reply.correct is None or not steps:
        return []
    place, last = steps[-1]
    return [(place, last._replace(value=float(reply.correct)))]


async def look(
    engine: Engine,
    questions: Mapping[str, Question],
    replies: Sequence[Reply],
    layer: int,
    outcome: bool,
    progress: Progress,
) -> tuple[list[Seen], Cost]:
    """Read the state behind each step as the scorer will: the engine reads a reply up to there, and is asked on."""
    seen: list[Seen] = []
    calls = positions = 0
    began = time.monotonic()
    for done, reply in enumerate(replies, 1):
        run = Run(engine)
        prompt = asked(questions[reply.key].item.problem, engine)
        steps = used(reply, outcome)
        states = await states_behind(prompt, reply.text, [step.end for _, step in steps], run, layer)
        found = zip(steps, states, strict=True)
        seen += [Seen(reply, step, place, state) for (place, step), state in found if state is not None]
        calls += len(run.trace.calls)
        positions += run.trace.prompt_tokens - run.trace.cached_tokens
        progress(done, len(replies))
    return seen, Cost(calls, positions, time.monotonic() - began)


def parted(keys: Iterable[str], share: float, seed: int) -> frozenset[str]:
    """Return the questions that are held out, `share` of all and one at least. Raises `DataError` for one alone."""
    names = sorted(set(keys))
    if len(names) < 2:
        raise DataError("there is one question alone, and none could be held out; raise --questions")
    random.Random(f"held out/{seed}").shuffle(names)
    return frozenset(names[: min(len(names) - 1, max(1, round(share * len(names))))])


def train(seen: Sequence[Seen], held: frozenset[str], settings: Settings) -> tuple[Arrays, Measured]:
    """Fit on the questions that are not held out, and measure on those that are. Raises `DataError`."""
    learnt = [one for one in seen if one.reply.key not in held]
    fresh = [one for one in seen if one.reply.key in held and one.reply.sample >= 0]
    if not learnt or not fresh:
        raise DataError("no step is left to learn from, or to measure with; raise --questions or --max-tokens")
    arrays = fit(np.stack([one.state for one in learnt]), [one.step.value for one in learnt], settings)
    scores = probe_of(arrays).rate(np.stack([one.state for one in fresh]))
    return arrays, _measured(fresh, [float(score) for score in scores], settings.seed)


def measure(steps: Sequence[tuple[Reply, Step, int]], scores: Sequence[float], seed: int = 0) -> Measured:
    """Measure the scores of steps, whatever scored them."""
    nowhere = np.zeros(0, np.float32)
    return _measured([Seen(reply, step, place, nowhere) for reply, step, place in steps], scores, seed)


def _measured(fresh: Sequence[Seen], scores: Sequence[float], seed: int) -> Measured:
    values, keys = [one.step.value for one in fresh], [one.reply.key for one in fresh]
    dice = random.Random(f"control/{seed}")
    areas = {
        "head": area(scores, values, keys, seed),
        "within": area_within(scores, values, keys, seed),
        "place": area([-one.place for one in fresh], values, keys, seed),
        "random": area([dice.random() for _ in fresh], values, keys, seed),
    }
    spelt = [one for one in fresh if one.step.logprob is not None]
    if spelt:
        means = [one.step.logprob or 0.0 for one in spelt]
        known, whose = [one.step.value for one in spelt], [one.reply.key for one in spelt]
        areas["mean_logprob"] = area(means, known, whose, seed)
        areas["mean_logprob_within"] = area_within(means, known, whose, seed)
    decided = [(one, score) for one, score in zip(fresh, scores, strict=True) if one.step.kind in ("right", "wrong")]
    if decided:
        told = [float(one.step.kind == "right") for one, _ in decided]
        areas["decided"] = area([score for _, score in decided], told, [one.reply.key for one, _ in decided], seed)
    replies = _replies(fresh, scores, seed)
    good = float(np.mean(values))
    return Measured(len(set(keys)), len(fresh), good, areas, replies, calibration(scores, values))


def _replies(fresh: Sequence[Seen], scores: Sequence[float], seed: int) -> dict[str, Area]:
    """Return how well the scores of a reply's steps tell whether it is right, by how they are put together."""
    whole: dict[tuple[str, int], list[float]] = {}
    right: dict[tuple[str, int], float] = {}
    for one, score in zip(fresh, scores, strict=True):
        if one.reply.correct is not None:
            name = one.reply.key, one.reply.sample
            whole.setdefault(name, []).append(score)
            right[name] = float(one.reply.correct)
    ways: Mapping[str, Callable[[list[float]], float]] = {
        "last": lambda steps: steps[-1],
        "min": min,
        "mean": lambda steps: sum(steps) / len(steps),
    }
    keys, truth = [key for key, _ in whole], [*right.values()]
    rated = {name: [way(steps) for steps in whole.values()] for name, way in ways.items()}
    among = {f"{name}_within": area_within(values, truth, keys, seed) for name, values in rated.items()}
    return {name: area(values, truth, keys, seed) for name, values in rated.items()} | among


def save_head(
    folder: Path, arrays: Arrays, layer: int, delimiter: str, outcome: bool, facts: Mapping[str, object]
) -> None:
    """Write the folder that the scorer `prm_head` reads. Raises `DataError` where it is not empty."""
    head = {STEM: KIND, "scores": "outcome" if outcome else "steps", "layer": layer, "delimiter": delimiter}
    save_state(folder, STEM, {**head, **facts}, arrays)
