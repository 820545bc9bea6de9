"""RouteLLM: the threshold, several choices, the evidence, and what happens when the router fails."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from ponder.core.engine import Cap
from ponder.core.errors import DataError, OptionError, Unsupported
from ponder.core.method import Solution, check
from ponder.core.problem import Problem, Prompt
from ponder.core.run import Run
from ponder.engines.echo import Echo, Fault
from ponder.methods.prompt.chain_of_draft import ChainOfDraft
from ponder.methods.route.routellm import RouteLLM
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample
from ponder.routers.causal import CausalClassifier
from ponder.routers.constant import ConstantRouter
from ponder.routers.random import RandomRouter

QUESTION = Problem.of("What is 2 + 3?")


@dataclass(frozen=True)
class Broken:
    """A router that dies of what it is told."""

    error: Exception = field(default_factory=lambda: ValueError("no such thing"))

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        raise self.error


@dataclass(frozen=True)
class Asking:
    """A router that asks a model."""

    def needs(self) -> Mapping[str, frozenset[Cap]]:
        return {"judge": frozenset({Cap.LOGPROBS})}

    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        call = await run.on("judge").quiet(0).generate(Prompt.of(problem), role="route", max_tokens=2)
        return {"weak": 1.0, "strong": 1.0 - (call.tokens == 0)}


async def solve(method: RouteLLM, problem: Problem = QUESTION, **engines: Echo) -> tuple[Solution, Run]:
    known = {"main": Echo("small says 5"), "strong": Echo("large says 5"), **engines}
    run = Run(known)
    check(method, known)
    return await method.solve(problem, run), run


@pytest.mark.parametrize(
    ("weak", "strong", "threshold", "route"),
    [
        (0.4, 0.6, 0.6, "strong"),
        (0.4, 0.6, 0.61, "weak"),
        (0.9, 0.9, 0.5, "strong"),
        (0.9, 0.9, 0.51, "weak"),
        (1.0, 0.0, 0.0, "strong"),
        (0.0, 1.0, 1.0, "strong"),
        (0.1, 1.0, 1.0, "weak"),
    ],
)
async def test_the_strong_choice_answers_from_the_threshold_on(
    weak: float, strong: float, threshold: float, route: str
) -> None:
    method = RouteLLM(router=ConstantRouter(ratings=(weak, strong)), threshold=threshold)
    solution, run = await solve(method)
    assert solution.evidence["route"] == route
    assert solution.evidence["score"] == pytest.approx((1 + strong - weak) / 2)
    assert solution.answer == ("large says 5" if route == "strong" else "small says 5")
    assert len(run.trace.calls) == 1
    assert f"threshold {threshold:g}" in str(solution.evidence["reason"])


async def test_as_it_comes_nothing_is_routed_away_from_the_strong_choice() -> None:
    solution, _ = await solve(RouteLLM())
    assert (solution.answer, solution.evidence["route"]) == ("large says 5", "strong")


async def test_random_routing_has_the_share_that_the_threshold_says() -> None:
    method = RouteLLM(router=RandomRouter(), threshold=0.7)
    routes = [(await solve(method, Problem.of(f"question {i}")))[0].evidence["route"] for i in range(300)]
    assert 0.22 < routes.count("strong") / 300 < 0.38


@pytest.mark.parametrize(
    ("ratings", "route", "score"),
    [
        # Each step up must be worth it against the choice that has the question by then.
        ((0.2, 0.6, 0.7), "middle", 0.7),
        ((0.2, 0.3, 0.9), "large", 0.85),
        ((0.2, 0.5, 0.9), "large", 0.7),
        ((0.5, 0.5, 0.6), "small", 0.55),
    ],
)
async def test_three_choices(ratings: tuple[float, ...], route: str, score: float) -> None:
    names = ("small", "middle", "large")
    method = RouteLLM(
        router=ConstantRouter(names, ratings),
        threshold=0.6,
        between=(Sample(cot=True),),
        choices=names,
        engines=("main", "middle", "strong"),
    )
    solution, _ = await solve(method, middle=Echo("middle says 5"))
    assert solution.evidence["route"] == route
    assert solution.evidence["score"] == pytest.approx(score)
    assert solution.answer.startswith({"small": "small", "middle": "middle", "large": "large"}[route])


async def test_the_evidence_of_the_inner_method_is_kept() -> None:
    solution, _ = await solve(RouteLLM(strong=BestOfN(n=2)), strong=Echo("large says 5"))
    assert {"route", "score", "sample", "reason"} <= set(solution.evidence)


@pytest.mark.parametrize("side", ["strong", "weak"])
async def test_a_router_that_fails_falls_back_and_says_so(side: str) -> None:
    method = RouteLLM(router=Broken(), fallback="weak" if side == "weak" else "strong")
    solution, run = await solve(method)
    assert solution.evidence == {
        "route": side,
        "reason": f"the router failed (ValueError: no such thing); fell back to {side}",
        "failed": 1,
    }
    assert run.trace.notes == [solution.evidence["reason"]]
    assert solution.answer == ("large says 5" if side == "strong" else "small says 5")


async def test_a_router_whose_model_breaks_off_falls_back_and_its_tokens_are_billed() -> None:
    judge = Echo("hard question", faults={0: Fault("cut", at=1)})
    solution, run = await solve(RouteLLM(router=Asking()), judge=judge)
    assert (solution.evidence["route"], solution.evidence["failed"]) == ("strong", 1)
    assert "EngineError" in str(solution.evidence["reason"])
    assert run.trace.tokens_by_role["route"] == judge.generated


async def test_what_a_router_asks_is_billed_as_routing() -> None:
    solution, run = await solve(RouteLLM(router=Asking()), judge=Echo("hard question"))
    assert (solution.evidence["route"], solution.evidence["score"]) == ("strong", 0.5)
    assert run.trace.tokens_by_role["route"] == 2


@pytest.mark.parametrize("rating", [math.nan, 1.5, -0.1])
async def test_a_rating_that_is_no_share_is_a_failure(rating: float) -> None:
    @dataclass(frozen=True)
    class Odd(Broken):
        async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
            return {"weak": 0.5, "strong": rating}

    solution, _ = await solve(RouteLLM(router=Odd()))
    assert solution.evidence["failed"] == 1
    assert "not numbers in 0 to 1" in str(solution.evidence["reason"])


@pytest.mark.parametrize("error", [DataError("router.toml: format = 2"), OptionError("no path"), Unsupported("no")])
async def test_files_and_options_that_cannot_be_used_are_errors(error: Exception) -> None:
    run = Run({"main": Echo(), "strong": Echo()})
    with pytest.raises(type(error), match=str(error)):
        await RouteLLM(router=Broken(error)).solve(QUESTION, run)
    assert run.trace.calls == []


async def test_names_that_the_router_does_not_rate_are_told() -> None:
    method = RouteLLM(router=ConstantRouter(("a", "b"), (0.0, 1.0)))
    with pytest.raises(OptionError, match="the router ConstantRouter rates a, b, and not 'weak'"):
        await method.solve(QUESTION, Run({"main": Echo(), "strong": Echo()}))


def test_each_method_needs_its_own_engine_and_the_router_its() -> None:
    method = RouteLLM(router=CausalClassifier(), weak=ChainOfDraft(), strong=BestOfN(), engines=("small", "large"))
    assert method.needs() == {
        "router": frozenset({Cap.LOGPROBS}),
        "small": frozenset(),
        "large": frozenset({Cap.LOGPROBS}),
    }


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"threshold": 1.1}, "threshold"),
        ({"threshold": math.nan}, "threshold"),
        ({"choices": ("a",)}, "choices"),
        ({"choices": ("a", "a")}, "choices"),
        ({"engines": ("main",)}, "engines"),
        ({"between": (Sample(),)}, "choices"),
    ],
)
def test_options_out_of_range_are_named(options: Mapping[str, object], field: str) -> None:
    with pytest.raises(OptionError, match=f"RouteLLM: {field} = "):
        RouteLLM(**options)  # type: ignore[arg-type]
