"""Methods inside methods inside methods, drawn at random from the registries: what holds for each holds for all."""

from __future__ import annotations

import random
import types
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Union, cast, get_args, get_origin, get_type_hints

import pytest
from method_cases import VARIANTS, Jittery, Scripted
from router_cases import TWO_ONLY, Choices, Routers
from scorer_cases import scorer_of

from ponder.core.engine import Sampling
from ponder.core.judge import Router, Scorer
from ponder.core.method import Method, Solution, check
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.methods import METHODS, catalogue
from ponder.methods.route.sketch_of_thought import SketchOfThought
from ponder.methods.vote.sample import Sample
from ponder.routers import ROUTERS, find_router
from ponder.scorers import SCORERS, find_scorer
from ponder.text.answers import number
from ponder.text.sketches import PARADIGMS

QUESTIONS = (
    Problem.of("Ann has 12 pens and buys 30 more. How many pens has she now? Between 12 and 99.", system="Be kind."),
    Problem.of("小明有12支笔，又买了30支。他现在有几支？"),
)
ALL, DEPTH = 400, 3
SIZES = ("n", "window", "rounds", "width", "simulations", "nodes")
"""Fields that multiply calls: three levels of eight samples would be 512."""


def holds(cls: type[object]) -> dict[str, object]:
    """Return the fields of a class that hold a method, a scorer or a router, alone or several, and which."""
    found = {}
    for name, hint in get_type_hints(cls).items():
        arms = get_args(hint) if get_origin(hint) in (Union, types.UnionType, tuple) else (hint,)
        kind = next((arm for arm in arms if arm in (Method, Scorer, Router)), None)
        if kind is not None:
            found[name] = kind
    return found


def nested(dice: random.Random, depth: int, routers: Routers, name: str | None = None) -> Method:
    """Return a method whose parts are drawn at random, down to `depth` levels: as it comes, or as its variant."""
    name = name or dice.choice(list(METHODS))
    cls = catalogue().find(name)
    plain = cls() if dice.random() < 0.5 else VARIANTS[name]
    values = {spec.name: getattr(plain, spec.name) for spec in fields(cast(Any, cls))}
    for field, kind in holds(cls).items():
        if kind is Router:
            values[field] = routers.draw(dice, choices_of(plain))
            continue
        several = isinstance(values[field], tuple)
        # As many as there were: other fields may have one entry for each.
        inside = [drawn(dice, depth, kind, routers) for _ in range(len(values[field]) if several else 1)]
        values[field] = tuple(inside) if several else inside[0]
    return cls(**values | {field: 2 for field in SIZES if isinstance(values.get(field), int)})


def choices_of(method: Method) -> Choices:
    """Return what the router of a method must rate."""
    if isinstance(method, SketchOfThought):
        return PARADIGMS
    return cast(Choices, cast(Any, method).choices)


def drawn(dice: random.Random, depth: int, kind: object, routers: Routers) -> object:
    """Return what a method holds: a scorer, or a method one level further down."""
    if kind is Scorer:
        return scorer_of(dice.choice(list(SCORERS)), routers.folder)
    return nested(dice, depth - 1, routers) if depth > 1 else Sample(cot=False)


def parts(method: object, depth: int = 1) -> Iterator[tuple[int, object]]:
    """Yield a method, scorer or router and all that are inside it, each with its level."""
    yield depth, method
    for field in holds(type(method)):
        held = getattr(method, field)
        for part in held if isinstance(held, tuple) else (held,):
            yield from parts(part, depth + 1)


HOLDERS = [name for name in METHODS if Method in holds(catalogue().find(name)).values()]
"""The methods that hold others: they take turns at the outermost place."""


@pytest.fixture(scope="module")
def nestings(tmp_path_factory: pytest.TempPathFactory) -> list[Method]:
    """All nestings, and the trained routers of some of them in a folder."""
    routers = Routers(tmp_path_factory.mktemp("routers"))
    return [nested(random.Random(index), DEPTH, routers, HOLDERS[index % len(HOLDERS)]) for index in range(ALL)]


def test_every_method_stands_at_every_level_and_every_scorer_and_router_somewhere(nestings: list[Method]) -> None:
    seen = {(depth, type(part)) for method in nestings for depth, part in parts(method)}
    assert {(1, catalogue().find(name)) for name in HOLDERS} <= seen
    assert {(depth, catalogue().find(name)) for depth in (2, 3) for name in METHODS} <= seen
    assert {find_scorer(name) for name in SCORERS} <= {cls for _, cls in seen}
    assert {find_router(name) for name in ROUTERS} <= {cls for _, cls in seen}
    assert len(set(nestings)) > 0.9 * ALL


@pytest.mark.parametrize("kind", ROUTERS)
async def test_every_router_rates_the_choices_that_a_method_asks_for(kind: str, tmp_path: Path) -> None:
    routers, echo = Routers(tmp_path), Scripted()
    for choices in {("weak", "strong"), PARADIGMS if kind not in TWO_ONLY else ("fast", "slow")}:
        router = routers.of(kind, choices, random.Random(3))
        for question in QUESTIONS:
            ratings = await router.rate(question, Run({"main": echo, **dict.fromkeys(router.needs(), echo)}))
            assert tuple(ratings) == choices
            assert all(0 <= rating <= 1 for rating in ratings.values())


async def solve(method: Method, index: int, delay: int, **options: Any) -> tuple[Solution, Run, Scripted]:
    """Let a nesting answer, on an engine whose tokens take their time as `delay` says."""
    echo = Scripted()
    engines = {name: Jittery(echo, delay) for name in {"main", *method.needs()}}
    check(method, engines)
    run = Run(engines, extract=number, seed=index, sampling=Sampling(max_tokens=48), **options)
    return await method.solve(QUESTIONS[index % 2], run), run, echo


def bill_is_right(run: Run, echo: Scripted) -> bool:
    """Whether all that the engine generated is billed, but for what streams that were left had not handed on."""
    left = sum(call.finish == "left" for call in run.trace.calls)
    whole = sum(run.trace.tokens_by_role.values()) == run.trace.tokens and len(run.trace.calls) == echo.calls
    return whole and echo.open_streams == 0 and run.trace.tokens <= echo.generated <= run.trace.tokens + 2 * left


def shows_a_prefix(solution: Solution, run: Run) -> bool:
    """Whether all that was shown is a beginning of the solution."""
    shown = {channel: "".join(text for on, text in run.trace.shown if on == channel) for channel in ("think", "answer")}
    return solution.thinking.startswith(shown["think"]) and solution.answer.startswith(shown["answer"])


@pytest.mark.parametrize("index", range(ALL))
async def test_a_nesting_ends_shows_only_what_it_says_and_bills_what_was_generated(
    index: int, nestings: list[Method]
) -> None:
    method = nestings[index]
    solution, run, echo = await solve(method, index, index)
    assert solution.finish in ("stop", "exit", "length"), method
    assert shows_a_prefix(solution, run), method
    assert bill_is_right(run, echo), method
    assert [note for note in run.trace.notes if "the router failed" in note] == [], method
    again, _, _ = await solve(method, index, index + ALL)
    assert again == solution, method


@pytest.mark.parametrize("index", range(0, ALL, 2))
async def test_a_nesting_keeps_a_budget(index: int, nestings: list[Method]) -> None:
    budget = random.Random(index).randint(0, 150)
    solution, run, echo = await solve(nestings[index], index, index, budget=budget)
    assert shows_a_prefix(solution, run), nestings[index]
    assert bill_is_right(run, echo), nestings[index]
    assert echo.generated <= budget + 2 * echo.calls, nestings[index]
