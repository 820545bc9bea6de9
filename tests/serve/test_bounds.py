from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ponder.core.engine import Cap, Sampling
from ponder.core.method import Method
from ponder.core.problem import EFFORTS, Problem, Prompt, Thinking
from ponder.engines.echo import CAPS, Echo
from ponder.methods.prompt.no_thinking import NoThinking
from ponder.methods.route.auto import Auto
from ponder.methods.route.cascade import Cascade
from ponder.methods.route.thinking_route import ThinkingRoute
from ponder.methods.stop.budget_forcing import BudgetForcing
from ponder.methods.stop.loop_stop import LoopStop
from ponder.methods.stop.thinking_mode import ThinkingMode
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.serve.bounds import Asked, bounded, forwarded, tokens_of, wish_of


@pytest.mark.parametrize(
    ("thinking", "tokens"),
    [
        (None, None),
        (Thinking.on(), None),
        (Thinking.off(), 0),
        (Thinking.budget(9), 9),
        (Thinking.effort("low"), 1024),
        (Thinking.effort("max"), None),
    ],
)
def test_a_wish_is_worth_tokens(thinking: Thinking | None, tokens: int | None) -> None:
    assert tokens_of(thinking, EFFORTS) == tokens


@pytest.mark.parametrize(
    ("method", "wish"),
    [
        (Auto(), None),
        (Sample(), None),
        (ThinkingMode("off"), Thinking.off()),
        (ThinkingMode("budget", 5), Thinking.budget(5)),
        (Auto("effort", effort="low"), Thinking.effort("low")),
    ],
)
def test_a_method_may_wish_for_something_itself(method: Method, wish: Thinking | None) -> None:
    assert wish_of(method) == wish


@pytest.mark.parametrize(
    ("method", "thinking", "result"),
    [
        (Sample(), Thinking.budget(5), ThinkingMode("budget", 5)),
        (Sample(), Thinking.effort("low"), ThinkingMode("effort", 1024, "low")),
        (Auto(), Thinking.off(), Auto("off")),
        (Auto(effort="low"), Thinking.budget(5), Auto("budget", 5, "low")),
        (ThinkingMode("off"), Thinking.on(), ThinkingMode("on")),
        (LoopStop(), Thinking.budget(5), Auto("budget", 5)),
        (BudgetForcing(cap=9), Thinking.budget(5), BudgetForcing(cap=5)),
        (BudgetForcing(cap=3), Thinking.budget(5), BudgetForcing(cap=3)),
        (BudgetForcing(cap=3), Thinking.on(), BudgetForcing(cap=3)),
        (SelfConsistency(3), Thinking.budget(5), SelfConsistency(3, ThinkingMode("budget", 5))),
        (
            SelfConsistency(3, SelfConsistency(2)),
            Thinking.budget(5),
            SelfConsistency(3, SelfConsistency(2, ThinkingMode("budget", 5))),
        ),
    ],
)
def test_a_budget_caps_the_chosen_method_and_does_not_replace_it(
    method: Method, thinking: Thinking, result: Method
) -> None:
    assert bounded(method, thinking, EFFORTS) == (result, True)


def test_the_table_of_efforts_counts() -> None:
    table = {**EFFORTS, "low": 7, "high": None, "minimal": 0}
    assert bounded(Sample(), Thinking.effort("low"), table)[0] == ThinkingMode("effort", 7, "low")
    assert bounded(Sample(), Thinking.effort("high"), table)[0] == ThinkingMode("on")
    assert bounded(Sample(), Thinking.effort("minimal"), table)[0] == ThinkingMode("off")
    assert bounded(Sample(), Thinking.effort("max"), table)[0] == ThinkingMode("effort", None, "max")


def test_a_method_that_has_no_place_for_it_says_so() -> None:
    assert bounded(NoThinking(), Thinking.budget(5), EFFORTS) == (NoThinking(), False)
    assert bounded(SelfConsistency(2, NoThinking()), Thinking.budget(5), EFFORTS)[1] is False


async def test_engines_are_asked_where_a_call_says_nothing() -> None:
    asked: list[Thinking | None] = []

    def script(prompt: Prompt, seed: int) -> str:
        asked.append(prompt.thinking)
        return "yes"

    prompt = Prompt.of(Problem.of("?"))
    for engine in (Echo(script), Echo(script, caps=CAPS - {Cap.THINKING})):
        wrapped = Asked(engine, Thinking.off())
        assert (wrapped.name, wrapped.caps, wrapped.think) == (engine.name, engine.caps, engine.think)
        async with wrapped.stream(prompt, Sampling()) as chunks:
            async for _ in chunks:
                pass
    assert asked == [Thinking.off(), None]


def test_a_label_goes_on_to_a_server_of_which_nobody_knows_what_it_understands() -> None:
    problem = Problem("p", (), extra='{"user": "me"}')
    plain, knowing = Echo(caps=CAPS - {Cap.THINKING}), Echo()
    assert json.loads(forwarded(problem, Thinking.effort("low"), plain).extra) == {
        "user": "me",
        "reasoning_effort": "low",
    }
    assert forwarded(problem, Thinking.effort("low"), knowing) is problem
    assert forwarded(problem, Thinking.budget(3), plain) is problem
    assert forwarded(problem, None, plain) is problem


def test_a_budget_caps_the_modes_of_a_route_and_what_else_is_said_replaces_it() -> None:
    route = ThinkingRoute(choices=("a", "b", "c", "d"), modes=("off", "64", "low", "on"))
    capped, told = bounded(route, Thinking.budget(512), EFFORTS)
    assert told
    assert capped == replace(route, modes=("off", "64", "512", "512"))
    assert bounded(route, Thinking.budget(0), EFFORTS)[0] == replace(route, modes=("off",) * 4)
    for wish in (Thinking.off(), Thinking.on(), Thinking.effort("low")):
        method, told = bounded(route, wish, EFFORTS)
        assert told
        assert isinstance(method, ThinkingMode)
        assert method.mode == wish.mode


def test_a_budget_reaches_every_rung_of_a_cascade() -> None:
    cascade = Cascade((Sample(cot=False), SelfConsistency(3), NoThinking()), thresholds=(0.0,))
    method, told = bounded(cascade, Thinking.budget(64), EFFORTS)
    assert told
    mode = ThinkingMode("budget", 64)
    assert method == replace(cascade, rungs=(mode, SelfConsistency(3, mode), NoThinking()))
    same, told = bounded(Cascade((NoThinking(), NoThinking())), Thinking.budget(64), EFFORTS)
    assert (told, same) == (False, Cascade((NoThinking(), NoThinking())))
