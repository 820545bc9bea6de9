"""Climbing a cascade: each rung answers and is scored, and the next one is asked only where the score is too low."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf, isfinite
from typing import NamedTuple, TypeVar

from ponder.core.engine import Cap
from ponder.core.errors import PonderError
from ponder.core.gather import gather
from ponder.core.judge import Scorer
from ponder.core.method import Method, Solution, merge_needs
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.steer.draw import Draw, draw
from ponder.steer.elect import able, elected, limit
from ponder.steer.score import scored

T = TypeVar("T")

MAIN = "main"
"""The engine that a method is handed, whichever that is: a method within another one may be handed the strong one."""


def _whole(answer: str) -> str:
    return answer


@dataclass(frozen=True, slots=True)
class Rung:
    """A way to answer on an engine, and with which score its answer is certain enough.

    `clean` makes of a reply what is shown of it, where it is not all of it.
    """

    method: Method
    on: str
    scorer: Scorer
    threshold: float
    clean: Callable[[str], str] = _whole


@dataclass(frozen=True, slots=True)
class Last:
    """The last rung, which is taken as it is."""

    method: Method
    on: str


class _Best(NamedTuple):
    """The best sample of a rung; `score` is None where there is none: for the reason in `failed`, or too late."""

    sample: Draw
    score: float | None
    failed: str = ""


def filled(given: Sequence[T], count: int) -> list[T]:
    """Return `count` values: those given, and the last of them for the others."""
    return [given[min(place, len(given) - 1)] for place in range(count)]


def view_on(run: Run, engine: str) -> Run:
    """Return the view of `run` on a named engine; `main` is the one that the run speaks to already."""
    return run if engine == MAIN else run.on(engine)


def needs_of(rungs: Sequence[Rung], last: Last) -> dict[str, frozenset[Cap]]:
    """Return what the rungs and their scorers need of their engines."""
    own = [_needs_on(rung.on, part.needs()) for rung in rungs for part in (rung.method, rung.scorer)]
    return merge_needs(*own, _needs_on(last.on, last.method.needs()))


async def climb(
    problem: Problem, run: Run, rungs: Sequence[Rung], last: Last, n: int = 1, temperature: float | None = None
) -> Solution:
    """Return the first answer that is certain enough, else that of the last rung.

    Each rung draws `n` samples, of which the best-scored counts. A scorer that fails sends the question on, and
    `unscored` says so; a limit of the run ends the climb with what is there.
    """
    said: dict[str, float | str] = {}
    named = {rung.on for rung in rungs} | {last.on} != {MAIN}
    for place, rung in enumerate(rungs):
        branch = view_on(run, rung.on).quiet(place)
        asks = rung.scorer.asks()
        jobs = (draw(rung.method, problem, branch, i, temperature=temperature, n=n, asks=asks) for i in range(n))
        samples = [_cleaned(sample, rung.clean) for sample in await gather(jobs)]
        route = {"route": _route(place, rung.on, named)}
        if cut := limit(samples):
            return elected(run, samples[0], {**said, **route}, cut)
        best = await _best(problem, samples, branch.quiet(n), rung.scorer)
        if best.score is not None:
            said |= {"score": best.score} if isfinite(best.score) else {}
            run.note(f"rung {place + 1} of {len(rungs) + 1}: score {best.score:.3g}, needs {rung.threshold:g}")
            if best.score >= rung.threshold:
                return elected(run, best.sample, {**said, **route})
        elif best.failed:
            said["unscored"] = best.failed
        else:
            return elected(run, best.sample, {**said, **route}, "deadline")
    solution = await last.method.solve(problem, view_on(run, last.on))
    return replace(solution, evidence={**solution.evidence, **said, "route": _route(len(rungs), last.on, named)})


async def _best(problem: Problem, samples: list[Draw], run: Run, scorer: Scorer) -> _Best:
    """Score the samples that may win; one that states no answer or is cut short is as uncertain as can be."""
    rivals = able(samples)
    if not rivals or not rivals[0].whole:
        return _Best(samples[0], -inf)
    try:
        values = await scored(scorer, problem, rivals, run, "value")
    except PonderError as error:
        return _Best(rivals[0], None, str(error))
    if values is None:
        return _Best(rivals[0], None)
    best = max(range(len(rivals)), key=values.__getitem__)
    return _Best(rivals[best], values[best])


def _cleaned(sample: Draw, clean: Callable[[str], str]) -> Draw:
    solution = sample.solution
    return replace(sample, solution=replace(solution, answer=clean(solution.answer)))


def _route(place: int, on: str, named: bool) -> str:
    return f"rung {place + 1} on {on}" if named else f"rung {place + 1}"


def _needs_on(engine: str, needs: Mapping[str, frozenset[Cap]]) -> dict[str, frozenset[Cap]]:
    """Return what a part needs that is handed `engine` as its main one."""
    return merge_needs(*({engine if name == MAIN else name: caps} for name, caps in needs.items()))
