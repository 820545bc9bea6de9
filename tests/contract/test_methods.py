"""What every method of the table keeps to, whatever it does."""

from __future__ import annotations

import asyncio
import time
import tomllib
from contextlib import suppress
from dataclasses import MISSING, FrozenInstanceError, fields, is_dataclass
from typing import Any, cast

import pytest
import tomli_w
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from method_cases import CASES, ON_MODELS, VARIANTS, Jittery, Scripted

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import EngineError, PonderError, Unsupported
from ponder.core.method import Method, Solution, check
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo, Fault
from ponder.methods import METHODS, catalogue
from ponder.routers import ROUTERS, find_router
from ponder.scorers import SCORERS, find_scorer
from ponder.text.answers import number

QUESTION = Problem.of(
    "Ann has 12 pens and buys 30 more. How many pens has she now? Between 12 and 99.", system="Be kind."
)
many = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
seeds = st.integers(0, 2**20)


@pytest.fixture(params=sorted(CASES))
def method(request: pytest.FixtureRequest) -> Method:
    """Every method, one after the other."""
    label: str = request.param
    return CASES[label]


async def solve(method: Method, engine: Echo | Jittery, **options: Any) -> tuple[Solution, Run]:
    """Let a method answer the question on every engine that it names."""
    check(method, engines(method, engine))
    run = Run(engines(method, engine), extract=number, **options)
    return await method.solve(QUESTION, run), run


def engines(method: Method, engine: Echo | Jittery) -> dict[str, Echo | Jittery]:
    """Return the engine under every name that a method has for one."""
    return {name: engine for name in method.needs()}


# A value


def test_every_method_of_the_table_has_a_variant_in_which_no_field_has_its_default() -> None:
    assert set(VARIANTS) == set(METHODS)
    for name, variant in VARIANTS.items():
        assert type(variant) is catalogue().find(name)
        for spec in fields(cast(Any, variant)):
            default = spec.default if spec.default_factory is MISSING else spec.default_factory()
            if (name, spec.name) not in ON_MODELS:
                assert getattr(variant, spec.name) != default, f"{name}: {spec.name} has its default"


def test_a_method_is_a_frozen_dataclass(method: Method) -> None:
    assert is_dataclass(method)
    assert isinstance(method, Method)
    with pytest.raises((FrozenInstanceError, AttributeError)):
        method.anything = 1  # type: ignore[attr-defined]
    for spec in fields(method):
        with pytest.raises(FrozenInstanceError):
            setattr(method, spec.name, None)


def test_a_method_is_a_value(method: Method) -> None:
    twin = catalogue().from_config(catalogue().to_config(method))
    assert twin == method
    assert hash(twin) == hash(method)
    assert len({twin, method}) == 1


def test_a_method_survives_the_way_to_toml_and_back(method: Method) -> None:
    text = tomli_w.dumps(catalogue().to_config(method))
    assert catalogue().from_config(tomllib.loads(text)) == method


def test_the_repr_of_a_method_is_the_method(method: Method) -> None:
    parts = [*map(catalogue().find, METHODS), *map(find_scorer, SCORERS), *map(find_router, ROUTERS)]
    names = {cls.__name__: cls for cls in parts}
    assert eval(repr(method), names) == method


# An answer


@pytest.mark.parametrize("label", sorted(CASES))
@many
@given(seed=seeds, delays=st.lists(seeds, min_size=2, max_size=2))
async def test_the_same_seed_gives_the_same_solution_under_any_interleaving(
    label: str, seed: int, delays: list[int]
) -> None:
    solutions = [(await solve(CASES[label], Jittery(Scripted(), delay), seed=seed))[0] for delay in delays]
    assert solutions[0] == solutions[1]


async def test_different_seeds_give_different_samples(method: Method) -> None:
    solutions = [(await solve(method, Scripted(), seed=seed))[0] for seed in range(12)]
    # Votes may agree on the answer whatever the seed, and choose another sample that states it.
    assert len({(solution.thinking, solution.answer) for solution in solutions}) > 1


@pytest.mark.parametrize("label", sorted(CASES))
@many
@given(seed=seeds, budget=st.none() | st.integers(0, 120), limit=st.integers(0, 60))
async def test_what_is_shown_is_a_prefix_of_the_solution(label: str, seed: int, budget: int | None, limit: int) -> None:
    engine = Jittery(Scripted(), seed)
    solution, run = await solve(CASES[label], engine, seed=seed, budget=budget, sampling=Sampling(max_tokens=limit))
    shown = {channel: "".join(text for c, text in run.trace.shown if c == channel) for channel in ("think", "answer")}
    assert solution.thinking.startswith(shown["think"])
    assert solution.answer.startswith(shown["answer"])
    order = [channel for channel, _ in run.trace.shown]
    assert solution.thinking == shown["think"] or "answer" not in order


async def test_whole_solutions_are_shown_whole(method: Method) -> None:
    solution, run = await solve(method, Scripted())
    assert "".join(text for channel, text in run.trace.shown if channel == "answer") == solution.answer


# A bill


@pytest.mark.parametrize("label", sorted(CASES))
@many
@given(seed=seeds, turn=st.integers(1, 5), limit=st.integers(1, 64))
async def test_the_bill_is_what_the_engine_generated_to_the_token(label: str, seed: int, turn: int, limit: int) -> None:
    echo = Scripted(turn=turn)
    _, run = await solve(CASES[label], Jittery(echo, seed), seed=seed, sampling=Sampling(max_tokens=limit))
    left = sum(call.finish == "left" for call in run.trace.calls)
    assert run.trace.tokens <= echo.generated <= run.trace.tokens + 2 * left
    assert sum(run.trace.tokens_by_role.values()) == run.trace.tokens
    assert echo.open_streams == 0
    assert run.trace.exact


faults = st.builds(
    Fault, st.sampled_from(["error", "cut"]), st.integers(0, 30), st.sampled_from([None, 429, 500])
)  # fmt: skip


@pytest.mark.parametrize("label", sorted(CASES))
@many
@given(seed=seeds, broken=st.dictionaries(st.integers(0, 4), faults, min_size=1))
async def test_the_bill_is_right_when_the_engine_fails(label: str, seed: int, broken: dict[int, Fault]) -> None:
    echo = Scripted(faults=broken)
    run = Run(engines(CASES[label], Jittery(echo, seed)), seed=seed, extract=number)
    with suppress(EngineError):
        await CASES[label].solve(QUESTION, run)
    left = sum(call.finish == "left" for call in run.trace.calls)
    assert run.trace.tokens <= echo.generated <= run.trace.tokens + 2 * left
    assert echo.open_streams == 0
    assert len(run.trace.calls) == echo.calls


@pytest.mark.parametrize("label", sorted(CASES))
@many
@given(seed=seeds, turns=st.integers(0, 150))
async def test_the_bill_is_right_when_the_method_is_cancelled(label: str, seed: int, turns: int) -> None:
    echo = Scripted()
    run = Run(engines(CASES[label], Jittery(echo, seed)), seed=seed, extract=number)
    task = asyncio.ensure_future(CASES[label].solve(QUESTION, run))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    left = sum(call.finish == "left" for call in run.trace.calls)
    assert run.trace.tokens <= echo.generated <= run.trace.tokens + 2 * left
    assert (echo.open_streams, len(asyncio.all_tasks())) == (0, 1)


# Limits


@pytest.mark.parametrize("label", sorted(CASES))
@many
@given(seed=seeds, limit=st.integers(0, 40))
async def test_no_call_generates_more_than_max_tokens(label: str, seed: int, limit: int) -> None:
    _, run = await solve(CASES[label], Jittery(Scripted(), seed), seed=seed, sampling=Sampling(max_tokens=limit))
    assert all(call.tokens <= limit for call in run.trace.calls)


@pytest.mark.parametrize("label", sorted(CASES))
@many
@given(seed=seeds, budget=st.integers(0, 200))
async def test_a_budget_is_kept(label: str, seed: int, budget: int) -> None:
    echo = Scripted()
    solution, run = await solve(CASES[label], Jittery(echo, seed), seed=seed, budget=budget)
    assert run.trace.tokens <= echo.generated <= budget + 2 * echo.calls
    if budget == 0:
        assert (echo.calls, solution.finish) == (0, "budget")


async def test_a_deadline_ends_a_method_whose_model_stalls(method: Method) -> None:
    echo = Scripted(faults={call: Fault("stall", at=3) for call in range(100)})
    solution, run = await solve(method, echo, deadline=time.monotonic() + 0.05)
    assert solution.finish == "deadline"
    assert (echo.open_streams, run.trace.tokens) == (0, echo.generated)


async def test_after_the_deadline_no_token_is_generated(method: Method) -> None:
    echo = Scripted()
    solution, _ = await solve(method, echo, deadline=time.monotonic() - 1)
    assert (solution.finish, echo.generated) == ("deadline", 0)


# Needs


def test_an_engine_that_lacks_what_is_needed_is_refused(method: Method) -> None:
    complete = Echo(caps=frozenset(Cap))
    assert method.needs(), "a method reaches a model, so it needs an engine"
    for name, caps in method.needs().items():
        engines = {other: complete for other in method.needs() if other != name}
        with pytest.raises(Unsupported, match=f"needs an engine named '{name}'"):
            check(method, engines)
        for cap in caps:
            with pytest.raises(Unsupported, match=cap.name):
                check(method, {**engines, name: Echo(caps=frozenset(Cap) - {cap})})


@pytest.mark.parametrize("think", [Think(), Think("<think>", "</think>")])
@pytest.mark.parametrize("cap", list(Cap))
async def test_a_method_asks_for_no_more_than_it_says_or_the_engine_has(method: Method, cap: Cap, think: Think) -> None:
    """The echo engine refuses what it lacks, so an undeclared need shows here; a refusal must cost nothing."""
    echo = Echo(caps=frozenset(Cap) - {cap}, think=think)
    needed = frozenset().union(*method.needs().values())
    if cap in needed:
        with pytest.raises(Unsupported):
            await solve(method, echo)
    else:
        solution, _ = await solve(method, echo)
        assert solution.answer
        return
    assert echo.generated == 0


async def test_a_refusal_costs_nothing(method: Method) -> None:
    echo = Echo(caps=frozenset())
    try:
        await solve(method, echo)
    except PonderError:
        assert echo.generated == 0
    assert echo.open_streams == 0
