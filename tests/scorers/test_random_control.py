"""Random scores: equal for equal runs, and of no use."""

from __future__ import annotations

from ponder.core.problem import Problem
from ponder.core.run import Call, Run, derive_seed
from ponder.engines.echo import Echo
from ponder.methods.vote.sample import Sample
from ponder.scorers.random_control import RandomControl
from ponder.steer.draw import draw

QUESTION = Problem.of("Between 12 and 99.")


async def scores(seed: int, salt: int = 0) -> list[float]:
    run = Run(Echo(), seed=seed)
    calls = [(await draw(Sample(), QUESTION, run, index)).call for index in range(4)]
    scorer = RandomControl(salt)
    assert (scorer.needs(), scorer.asks()) == ({"main": frozenset()}, {})
    return [score.value for score in await scorer.score(QUESTION, calls, run)]


async def test_they_depend_on_the_run_the_branch_and_the_salt_alone() -> None:
    found = await scores(1)
    assert found == await scores(1)
    assert len({*found, *await scores(2), *await scores(1, salt=1)}) == 12


async def test_they_know_nothing_of_the_reply() -> None:
    run, (one, two) = Run(Echo()), [Call("think", "x", (3,), 9, answer=answer) for answer in ("right", "wrong")]
    first, second = await RandomControl().score(QUESTION, [one, two], run)
    assert first == second


async def test_they_are_spread_evenly() -> None:
    calls = [Call("think", "x", (i,), derive_seed(0, (i,), 0, "call")) for i in range(4000)]
    values = [score.value for score in await RandomControl().score(QUESTION, calls, Run(Echo()))]
    assert 0 <= min(values) < max(values) < 1
    assert abs(sum(values) / 4000 - 0.5) < 0.02
