from __future__ import annotations

from collections.abc import Mapping

import pytest

from ponder.core.engine import Cap
from ponder.core.errors import DataError, OptionError, Unsupported
from ponder.core.problem import Problem
from ponder.core.run import Run
from ponder.engines.echo import Echo
from ponder.methods.route.thinking_route import ThinkingRoute
from ponder.methods.stop.thinking_mode import ThinkingMode
from ponder.routers.constant import ConstantRouter
from ponder.routers.random import RandomRouter
from ponder.routers.words import WordsRouter

QUESTION = Problem.of("Between 12 and 99.")
EASY, HARD = ConstantRouter(ratings=(0.9, 0.9)), ConstantRouter(ratings=(0.1, 0.9))


@pytest.mark.parametrize(("router", "mode"), [(EASY, "off"), (HARD, "on")])
async def test_the_rating_decides_whether_the_model_thinks(router: ConstantRouter, mode: str) -> None:
    run, plain = Run(Echo()), Run(Echo())
    solution = await ThinkingRoute(router, threshold=0.6).solve(QUESTION, run)
    other = await ThinkingMode(mode).solve(QUESTION, plain)  # type: ignore[arg-type]
    assert (solution.answer, solution.thinking) == (other.answer, other.thinking)
    assert bool(solution.thinking) is (mode == "on")
    assert run.trace.shown == plain.trace.shown
    score = (1 + router.ratings[1] - router.ratings[0]) / 2
    said = {key: solution.evidence[key] for key in ("route", "score", "reason")}
    assert said == {"route": mode, "score": pytest.approx(score), "reason": said["reason"]}
    assert f"the score {score:.3f}" in str(said["reason"])
    assert solution.evidence == {**other.evidence, **said}


async def test_modes_may_be_budgets_and_efforts() -> None:
    three = ("easy", "middle", "hard")
    for ratings, mode, same in (
        ((0.9, 0.9, 0.9), "off", ThinkingMode("off")),
        ((0.1, 0.9, 0.9), "5", ThinkingMode("budget", 5)),
        ((0.1, 0.2, 0.9), "low", ThinkingMode("effort", effort="low")),
    ):
        router = ConstantRouter(three, ratings)
        method = ThinkingRoute(router, 0.6, three, ("off", "5", "low"), fallback="weak")
        solution = await method.solve(QUESTION, Run(Echo()))
        other = await same.solve(QUESTION, Run(Echo()))
        assert solution.evidence["route"] == mode
        assert (solution.thinking, solution.answer) == (other.thinking, other.answer)
        assert {key: solution.evidence[key] for key in other.evidence} == dict(other.evidence)


async def test_extreme_thresholds_are_the_two_modes() -> None:
    for seed in range(5):
        problem = Problem.of(f"Between {seed} and 99.")
        for threshold, thinks in ((0.0, True), (1.0, False)):
            route = ThinkingRoute(RandomRouter(), threshold)
            assert bool((await route.solve(problem, Run(Echo()))).thinking) is thinks


class Broken(ConstantRouter):
    async def rate(self, problem: Problem, run: Run) -> Mapping[str, float]:
        raise RuntimeError("out of luck")


async def test_a_router_that_fails_leaves_the_configured_mode_and_says_so() -> None:
    for fallback, mode in (("weak", "off"), ("strong", "on")):
        run = Run(Echo())
        solution = await ThinkingRoute(Broken(), fallback=fallback).solve(QUESTION, run)  # type: ignore[arg-type]
        assert (solution.evidence["route"], solution.evidence["failed"]) == (mode, 1)
        assert "the router failed (RuntimeError: out of luck); fell back to" in str(solution.evidence["reason"])
        assert "score" not in solution.evidence
        assert run.trace.notes == [solution.evidence["reason"]]


async def test_files_that_cannot_be_used_are_an_error_before_the_first_token() -> None:
    echo = Echo()
    with pytest.raises(DataError, match="nowhere"):
        await ThinkingRoute(WordsRouter("nowhere")).solve(QUESTION, Run(echo))
    with pytest.raises(OptionError, match="and not 'weak'"):
        await ThinkingRoute(WordsRouter()).solve(QUESTION, Run(echo))
    assert echo.generated == 0


@pytest.mark.parametrize("question", ["", "   ", "二加三等于几？"])
async def test_any_question_gets_a_route(question: str) -> None:
    solution = await ThinkingRoute(RandomRouter()).solve(Problem.of(question), Run(Echo()))
    assert solution.evidence["route"] in ("off", "on")


async def test_a_model_that_cannot_be_kept_from_thinking_is_refused_at_no_cost() -> None:
    echo = Echo(caps=frozenset())
    with pytest.raises(Unsupported, match="nothing can bound it"):
        await ThinkingRoute(EASY, 0.6).solve(QUESTION, Run(echo))
    assert echo.generated == 0


def test_needs_are_those_of_the_router() -> None:
    class Asks(ConstantRouter):
        def needs(self) -> dict[str, frozenset[Cap]]:
            return {"judge": frozenset({Cap.LOGPROBS})}

    assert ThinkingRoute().needs() == {"main": frozenset()}
    assert ThinkingRoute(Asks()).needs() == {"main": frozenset(), "judge": frozenset({Cap.LOGPROBS})}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"threshold": 1.1}, "threshold = 1.1"),
        ({"choices": ("a",)}, "choices = .*at least two"),
        ({"choices": ("a", "a")}, "choices = .*different"),
        ({"modes": ("off",)}, "modes = .*one for each choice"),
        ({"modes": ("off", "fast")}, "modes = 'fast'"),
        ({"modes": ("off", "-3")}, "modes = '-3'"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields: dict[str, object], said: str) -> None:
    with pytest.raises(OptionError, match=said):
        ThinkingRoute(**fields)  # type: ignore[arg-type]
