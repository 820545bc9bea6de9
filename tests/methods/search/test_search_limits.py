"""What must hold of every search at any moment: cancelled branches stop, and there is a best answer so far."""

from __future__ import annotations

import asyncio
import math
import time
from dataclasses import replace

import pytest
from support.trees import QUESTION, Weighs, count_a, letters, run_on, said, writer

from ponder.core.engine import Sampling
from ponder.core.method import Method
from ponder.core.run import Run
from ponder.engines.echo import Echo, Fault
from ponder.methods.search.beam_search import BeamSearch
from ponder.methods.search.dpts import Dpts
from ponder.methods.search.mcts import Mcts
from ponder.methods.search.rsd import Rsd
from ponder.methods.search.speculative_rejection import SpeculativeRejection
from ponder.text.answers import number

SEARCHES: list[Method] = [
    BeamSearch(n=4, width=2, scorer=Weighs(count_a), delimiter="\n"),
    BeamSearch(n=4, width=2, diverse=True, scorer=Weighs(count_a), delimiter="\n"),
    Mcts(simulations=6, width=2, parallel=2, scorer=Weighs(count_a), delimiter="\n"),
    Mcts(simulations=9, width=2, parallel=2, value="step", scorer=Weighs(count_a), delimiter="\n"),
    Dpts(parallel=2, width=2, enough=2, scorer=Weighs(count_a), delimiter="\n"),
    SpeculativeRejection(n=4, first=2, scorer=Weighs(count_a)),
    Rsd(threshold=0.5, scorer=Weighs(lambda text: float("a" in text)), delimiter="\n"),
]
every_search = pytest.mark.parametrize("method", SEARCHES, ids=repr)


def engines(**options: object) -> dict[str, Echo]:
    """Return a main engine and one that drafts; each line of a reply says a or b, as its slot has it."""
    return {name: writer(letters(4), **options) for name in ("main", "draft")}


def on(found: dict[str, Echo], **options: object) -> Run:
    return Run(found, extract=number, **options)  # type: ignore[arg-type]


@every_search
async def test_cancelled_branches_stop_generating(method: Method) -> None:
    """Whoever walks away, after any number of turns of the loop, leaves no stream open, and no token is unpaid."""
    for turns in range(0, 60, 3):
        found = engines(delay=0.0005)
        run = on(found)
        task = asyncio.create_task(method.solve(QUESTION, run))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        generated = sum(engine.generated for engine in found.values())
        await asyncio.sleep(0.002)
        assert sum(engine.generated for engine in found.values()) == generated, "nothing goes on"
        assert all(engine.open_streams == 0 for engine in found.values())
        assert run.trace.tokens <= generated <= run.trace.tokens + 2 * 8


@every_search
async def test_at_a_deadline_there_is_the_best_answer_so_far(method: Method) -> None:
    """Whichever call the model falls silent in, a reply that had ended by then is the answer, and otherwise what is
    written is returned.
    """
    whole = on(engines())
    await method.solve(QUESTION, whole)
    for at in range(len(whole.trace.calls)):
        found = engines(faults={at: Fault("stall", at=0)})
        run = on(found, deadline=time.monotonic() + 0.05)
        solution = await method.solve(QUESTION, run)
        assert all(engine.open_streams == 0 for engine in found.values())
        ended = [call for call in run.trace.calls if call.finish == "stop" and call.answer.rstrip().endswith("7")]
        if solution.finish == "deadline" and ended:
            assert number(solution.answer) == "7"
        elif solution.finish != "deadline":
            assert (solution.finish, solution.answer[-1]) == ("stop", "7"), "the call in question was not made"


@every_search
async def test_at_every_budget_the_whole_tree_keeps_it(method: Method) -> None:
    for budget in range(0, 60, 3):
        found = engines()
        run = on(found, budget=budget, sampling=Sampling(max_tokens=12))
        solution = await method.solve(QUESTION, run)
        assert run.trace.tokens == sum(engine.generated for engine in found.values()) <= budget
        if budget >= 12:
            assert (solution.finish, solution.answer[-1]) == ("stop", "7"), "one whole reply is always paid for"


@every_search
async def test_a_delimiter_that_never_comes_and_no_limit_of_a_step_leave_whole_replies(method: Method) -> None:
    never: Method = method
    if not isinstance(method, SpeculativeRejection):
        never = replace(method, delimiter="#", step=10_000)  # type: ignore[type-var]
    found = engines()
    solution = await never.solve(QUESTION, on(found))
    assert (solution.answer[-1], solution.finish) == ("7", "stop")


@every_search
async def test_a_delimiter_that_never_comes_is_no_reason_to_write_long_steps(method: Method) -> None:
    if isinstance(method, SpeculativeRejection):
        return
    short = replace(method, delimiter="#", step=2)  # type: ignore[type-var]
    run = on(engines())
    solution = await short.solve(QUESTION, run)
    assert (solution.answer[-1], solution.finish) == ("7", "stop")
    steps = [call.tokens for call in run.trace.calls if call.finish == "length"]
    assert steps
    assert set(steps) <= {1, 2}, "a step of two tokens is cut there"


async def test_greedy_beams_of_which_one_is_kept_are_equal() -> None:
    """N = M at temperature 0: N times the same reply, which is greedy decoding."""
    run, alone = (run_on(Echo(), sampling=Sampling(temperature=0.0)) for _ in range(2))
    method = BeamSearch(n=4, width=4, temperature=0.0, delimiter="wait ", step=5)
    found = await method.solve(QUESTION, run)
    plain = await BeamSearch(n=1, delimiter="wait ", step=5).solve(QUESTION, alone)
    assert said(found, run)[:3] == said(plain, alone)[:3]
    assert run.trace.tokens == 4 * alone.trace.tokens


@pytest.mark.parametrize("width", [1, 4])
async def test_trees_that_do_not_compete_are_one_search_where_there_is_but_one(width: int) -> None:
    """DVTS with N = M is one greedy tree, as beam search with N = M is; with M = 1 each tree is a plain sample."""
    both: list[tuple[str, str, str, int]] = []
    for diverse in (False, True):
        run = run_on(writer(letters(3)))
        method = BeamSearch(n=4, width=width, diverse=diverse, scorer=Weighs(count_a), delimiter="\n")
        both.append(said(await method.solve(QUESTION, run), run))
    assert both[0] == both[1]


@every_search
@pytest.mark.parametrize("size", [math.inf, -math.inf, 1e308, -1e308, 0.0])
async def test_scores_out_of_any_range_leave_an_answer(method: Method, size: float) -> None:
    scorer = Weighs(lambda text: size)
    solution = await replace(method, scorer=scorer).solve(QUESTION, on(engines()))  # type: ignore[type-var]
    assert (solution.answer[-1], solution.finish) == ("7", "stop")
