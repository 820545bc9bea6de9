"""What searches share: who is chosen, what is shown before that, and how wide a budget lets a tree be."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Sequence
from dataclasses import replace

import pytest
from support.trees import QUESTION, Weighs, run_on

from ponder.core.engine import Chunk, Sampling
from ponder.core.errors import OptionError, PonderError
from ponder.core.problem import Prompt, Tool, ToolCall
from ponder.core.run import Call, CallFinish, Run
from ponder.engines.echo import Echo
from ponder.methods.search.beam_search import BeamSearch
from ponder.steer.branch import WHOLE, Branch, Cut
from ponder.steer.elect import MOST
from ponder.steer.score import Steps
from ponder.steer.search import Stage, affordable, best, check_steps, limited, plain, ranked, rate, spare, within


def branch(
    answer: str = "", score: float | None = None, finish: CallFinish = "stop", thinking: str = "", tokens: int = 0
) -> Branch:
    call = Call("think", "echo", (), 0, thinking + answer, thinking, answer, tokens, finish=finish)
    return Branch(Prompt(()), call, 0, finish != "left", score)


def run() -> Run:
    return run_on(Echo())


def test_a_whole_answer_wins_then_a_cut_one_then_words_then_nothing() -> None:
    order = [branch("1", 0.1), branch("2", 0.9, "length"), branch("hm", 5.0), branch("", 9.0), branch("", None, "left")]
    for start in range(len(order)):
        assert best(order[start:][::-1], run()) == order[start]


def test_scores_decide_among_equals_and_then_the_order() -> None:
    assert best([branch("1", 0.1), branch("2", 0.7), branch("3", 0.7)], run()).call.answer == "2"
    assert best([branch("1", -math.inf), branch("2", -1e9)], run()).call.answer == "2"
    assert best([branch("1"), branch("2")], run()).call.answer == "1"


def test_a_tool_call_is_an_answer() -> None:
    calls = Call("think", "echo", (), 0, finish="tool_calls", tool_calls=(ToolCall("1", "f", "{}"),))
    assert best([branch("hm", 9.0), Branch(Prompt(()), calls, 0, True, 0.1)], run()).call is calls


def test_the_majority_is_of_whole_answers_and_states_its_best_reply() -> None:
    found = [branch("1", 0.9), branch("so 2", 0.1), branch("2", 0.3), branch("1", 0.8, "length"), branch("hm", 1.0)]
    assert best(found, run(), "majority").call.answer == "2"
    assert best([branch("1", 0.2), branch("2", 0.3)], run(), "majority").call.answer == "2", "of equal ones the better"
    assert best([branch("hm"), branch("")], run(), "majority").call.answer == "hm"


def test_which_limit_cut_a_branch() -> None:
    assert limited([branch(), branch("", None, "length")]) is None
    assert limited([branch(), branch("", None, "budget")]) == "budget"
    assert limited([branch("", None, "budget"), branch("", None, "deadline")]) == "deadline"


@pytest.mark.parametrize(
    ("budget", "spent", "step", "seats"),
    [(None, 0, 10, 8), (100, 0, 10, 1), (110, 0, 10, 2), (129, 0, 10, 3), (900, 0, 10, 8), (70, 50, 10, 3),
     (0, 0, 10, 1), (300, 0, None, 3), (299, 0, None, 2), (100, 95, 10, 8)],
)  # fmt: skip
def test_a_budget_pays_one_reply_first(budget: int | None, spent: int, step: int | None, seats: int) -> None:
    view = run_on(Echo(), budget=budget, sampling=Sampling(max_tokens=100))
    assert affordable(view, [branch(tokens=spent)], 8, Cut("\n", step) if step else WHOLE) == seats


@pytest.mark.parametrize(
    ("budget", "step", "answered", "steps"),
    [(None, 10, False, MOST), (150, 10, False, 5), (150, 10, True, 15), (99, 10, False, 0), (150, 999, True, 1),
     (350, None, False, 3), (350, None, True, 3), (99, None, False, 0)],
)  # fmt: skip
def test_a_budget_pays_for_steps_beside_one_whole_reply(
    budget: int | None, step: int | None, answered: bool, steps: int
) -> None:
    view = run_on(Echo(), budget=budget, sampling=Sampling(max_tokens=100))
    cut = Cut("\n", step) if step else WHOLE
    assert spare(view, Prompt.of(QUESTION), cut, answered) == steps


def test_a_step_that_is_the_whole_reply_costs_as_much() -> None:
    """Nobody goes on with a half-written reply that has tools, so that the most tokens of a step say nothing."""
    view = run_on(Echo(), budget=350, sampling=Sampling(max_tokens=100))
    tools = Prompt.of(replace(QUESTION, tools=(Tool("f", "{}"),)))
    assert (spare(view, tools, Cut("\n", 10), False), spare(view, tools, Cut("\n", 10), True)) == (3, 3)


async def test_scores_come_with_their_branches_or_not_in_time() -> None:
    found = await rate(Weighs(float), QUESTION, [branch("1"), branch("3"), branch("2")], run(), "value")
    assert found is not None
    assert [one.score for one in found] == [1.0, 3.0, 2.0]
    assert [one.score for one in ranked(found)] == [3.0, 2.0, 1.0]
    late = run_on(Echo(), deadline=time.monotonic() - 1)
    assert await rate(Weighs(float, waits=3600), QUESTION, [branch("1")], late, "value") is None
    with pytest.raises(PonderError, match="failed \\(ValueError"):
        await rate(Weighs(float), QUESTION, [branch("x")], run(), "value")


def test_what_has_ended_without_an_answer_has_no_future() -> None:
    found = [branch("hm", 9.0), branch("so", 0.2, "left"), branch("1", 0.1)]
    assert [one.call.answer for one in ranked(found, run())] == ["so", "1", "hm"]
    assert [one.call.answer for one in ranked(found)] == ["hm", "so", "1"]


def test_a_budget_drops_the_last_of_those_that_would_go_on() -> None:
    found = [replace(branch(finish="stop" if slot == 1 else "left"), slot=slot) for slot in range(5)]
    view = run_on(Echo(), budget=120, sampling=Sampling(max_tokens=100))
    assert [one.slot for one in within(view, found, Cut("", 10))] == [0, 1, 2, 3]
    assert [one.slot for one in within(view, found, WHOLE)] == [0, 1]
    assert within(run(), found, WHOLE) == found


def shown(run: Run) -> Sequence[tuple[str, str]]:
    return run.trace.shown


def test_only_what_all_have_in_common_is_shown() -> None:
    view = run()
    stage = Stage(view)
    stage.commit([branch("", thinking="so we"), branch("", thinking="so they")])
    assert shown(view) == [("think", "so ")]
    stage.commit([branch("12", thinking="so they"), branch("13", thinking="so they")])
    assert shown(view)[1:] == [("think", "they"), ("answer", "1")]
    solution = stage.close(branch("13", 0.5, thinking="so they"), {"n": 2}, None)
    assert shown(view)[3:] == [("answer", "3")]
    assert (solution.answer, solution.finish, solution.evidence) == ("13", "stop", {"score": 0.5, "n": 2})


def test_an_answer_waits_for_the_thought_before_it() -> None:
    view = run()
    Stage(view).commit([branch("1", thinking="a"), branch("1", thinking="ab")])
    assert shown(view) == [("think", "a")]


def test_what_may_be_the_beginning_of_a_stop_string_is_held_back() -> None:
    view = run_on(Echo(), sampling=Sampling(stop=("\n\nHuman:",)))
    stage = Stage(view)
    follow = stage.lead(branch("1\n\n", thinking="a\n"))
    follow(Chunk("more"))
    assert shown(view) == [("think", "a\n"), ("answer", "1")]
    stage.commit([branch("1\n\nso\n", thinking="a\n")])
    assert shown(view)[2:] == [("answer", "\n\nso")]
    stage.close(branch("1\n\nso\n", thinking="a\n"), {}, None)
    assert shown(view)[3:] == [("answer", "\n")]


def test_what_was_followed_is_not_shown_again() -> None:
    view = run()
    stage = Stage(view)
    follow = stage.lead(branch("", thinking="a "))
    for chunk in (Chunk("<think>", "think", markup=True), Chunk("b", "think"), Chunk("1")):
        follow(chunk)
    stage.commit([branch("1", thinking="a b")])
    solution = stage.close(branch("12", thinking="a b", finish="left"), {}, "deadline")
    assert shown(view) == [("think", "a "), ("think", "b"), ("answer", "1"), ("answer", "2")]
    assert (solution.finish, solution.evidence) == ("deadline", {})


@pytest.mark.parametrize(
    ("name", "values"), [("delimiter", ("", 1, 1)), ("step", ("\n", 0, 1)), ("depth", ("\n", 1, 0))]
)
def test_steps_have_an_end(name: str, values: tuple[str, int, int]) -> None:
    with pytest.raises(OptionError, match=f"BeamSearch: {name} = "):
        check_steps(BeamSearch(), *values)


def test_a_new_line_may_be_written_as_one_types_it() -> None:
    assert plain("\\n\\n") == plain("\n\n") == "\n\n"
    assert plain("Step") == "Step"


async def test_a_branch_that_is_cancelled_stops_generating() -> None:
    engine = Echo("a\n" * 500, delay=0.001)
    view = run_on(engine)
    task = asyncio.ensure_future(BeamSearch(n=4, width=2, delimiter="\n").solve(QUESTION, view))
    while engine.generated < 8:  # noqa: ASYNC110 - a busy machine takes its time.
        await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.wait([task])
    made = engine.generated
    await asyncio.sleep(0.02)
    assert (engine.open_streams, engine.generated) == (0, made)
    assert 0 < view.trace.tokens <= made <= view.trace.tokens + 2 * 4


@pytest.mark.parametrize(
    ("steps", "expected"), [("value", 0.95), ("last", 0.95), ("min", 0.8), ("prod", 0.684), ("mean", 2.65 / 3)]
)
async def test_a_scorer_of_the_last_step_is_not_asked_again_for_those_before(steps: Steps, expected: float) -> None:
    said = iter([0.9, 0.8, 0.95])
    scorer = Weighs(lambda text: next(said))
    grown = [branch("a", finish="left")]
    for _ in range(3):
        grown = [replace(one, score=None) for one in grown]  # It has grown: `grow` takes the score off.
        grown = await rate(scorer, QUESTION, grown, run(), steps) or []
    assert grown[0].path == (0.9, 0.8, 0.95)
    assert grown[0].score == pytest.approx(expected)


async def test_a_fork_keeps_the_scores_of_what_it_springs_from() -> None:
    said = {"a": 0.9, "ab": 0.2, "ac": 0.4}
    scorer = Weighs(lambda text: said[text])
    (stem,) = await rate(scorer, QUESTION, [branch("a", finish="left")], run(), "mean") or []
    forks = [replace(stem, score=None, call=replace(stem.call, text=text)) for text in ("ab", "ac")]
    one, two = await rate(scorer, QUESTION, forks, run(), "mean") or []
    assert (one.score, two.score) == (pytest.approx(0.55), pytest.approx(0.65))
    assert stem.path == (0.9,)


async def test_a_branch_without_a_word_yet_holds_nothing_against_its_next_steps() -> None:
    said = iter([-math.inf, 0.8, 0.6])
    scorer = Weighs(lambda text: next(said))
    (grown,) = await rate(scorer, QUESTION, [branch("", finish="left")], run(), "min") or []
    assert (grown.score, grown.path) == (-math.inf, ())
    for expected in (0.8, 0.6):
        (grown,) = await rate(scorer, QUESTION, [replace(grown, score=None)], run(), "min") or []
        assert grown.score == expected
    assert grown.path == (0.8, 0.6)
