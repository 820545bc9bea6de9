from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from method_cases import Jittery
from support.trees import QUESTION, Weighs, run_on, said, writer

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import EngineError, OptionError, PonderError
from ponder.core.problem import Tool
from ponder.engines.echo import Echo, Fault, noise
from ponder.methods.search.dpts import Dpts
from ponder.steer.paths import promise


def wood(before: str, slot: int) -> str:
    """Three lines, each `a` to `d` as the slot has it, and the answer."""
    lines = before.split("\n")[:-1]
    while len(lines) < 3:
        lines.append("abcd"[slot % 4])
    return ("\n".join(lines) + "\n" + "7")[len(before) :]


def rate(text: str) -> float:
    """A number in 0.5 to 1 that is each text's own."""
    return 0.5 + noise(text) / 2


def tree(**options: object) -> Dpts:
    return Dpts(**{"delimiter": "\n", "scorer": Weighs(rate), **options})  # type: ignore[arg-type]


async def test_one_seat_without_thresholds_visits_what_best_first_search_visits() -> None:
    scorer = Weighs(rate)
    method = tree(parallel=1, width=4, early=0.0, seek=math.inf, enough=9, most=9, nodes=48, scorer=scorer)
    solution = await method.solve(QUESTION, run_on(writer(wood)))
    visits, total, parent = {"": 0}, {"": 0.0}, {"": ""}
    open_, seen, ended = [""], list[list[str]](), 0

    def worth(text: str) -> float:
        mean = total[text] / visits[text] if text else math.inf
        return promise(mean, visits[text], visits[parent[text]], rate(text))

    while ended < 9 and len(seen) < 12 and open_:
        node = max(open_, key=worth)
        open_.remove(node)
        deep = node.count("\n") == 3
        seen.append([node + ("7" if deep else f"{letter}\n") for letter in "abcd"])
        for text in seen[-1]:
            if text not in visits:
                visits[text], total[text], parent[text] = 0, 0.0, node
                open_ += [] if deep else [text]
                ended += deep
            way = [text]
            while way[-1]:
                way.append(parent[way[-1]])
            for above in way:
                visits[above] += 1
                total[above] += rate(text)
    assert scorer.asked == seen
    assert solution.evidence["steps"] == 4 * len(seen)


async def test_confident_paths_are_followed_to_their_ends() -> None:
    """Everything that says `a` is trusted, so one path goes straight down while the others wait."""
    scorer = Weighs(lambda text: 0.5 + text.count("a") / 8 - text.count("d") / 8)
    solution = await tree(parallel=1, share=1.0, enough=1, scorer=scorer).solve(QUESTION, run_on(writer(wood)))
    assert [batch[0] for batch in scorer.asked] == ["a\n", "a\na\n", "a\na\na\n", "a\na\na\n7"]
    assert (solution.answer, solution.finish) == ("a\na\na\n7", "stop")
    assert solution.evidence == {"score": 0.875, "steps": 16, "ended": 1}


@pytest.mark.parametrize("delay", range(4))
async def test_rounds_depend_on_no_clock(delay: int) -> None:
    method = Dpts(parallel=3, width=2, delimiter="wait ", step=4, nodes=30)
    ours, theirs = run_on(Jittery(Echo(), delay), seed=7), run_on(Echo(), seed=7)
    assert said(await method.solve(QUESTION, ours), ours) == said(await method.solve(QUESTION, theirs), theirs)


async def test_a_tree_that_may_not_grow_writes_its_best_step_to_the_end() -> None:
    for nodes, calls in ((3, 1), (4, 5), (8, 9)):
        scorer = Weighs(rate)
        run = run_on(writer(wood))
        solution = await tree(nodes=nodes, scorer=scorer).solve(QUESTION, run)
        assert (len(run.trace.calls), solution.answer[-1], solution.finish) == (calls, "7", "stop")
        assert solution.evidence["steps"] == nodes // 4 * 4
        open_ = [text for batch in scorer.asked for text in batch]
        assert solution.answer.startswith(max(open_, key=rate, default=""))


async def test_the_most_replies_end_the_search() -> None:
    for most in (1, 3):
        solution = await tree(most=most, depth=1, parallel=1, width=1, seek=0.0).solve(QUESTION, run_on(writer(wood)))
        assert solution.evidence["ended"] == 1
    many = await tree(most=6, enough=6).solve(QUESTION, run_on(writer(wood)))
    assert 1 <= float(many.evidence["ended"]) <= 6 + 3


async def test_the_last_step_goes_to_the_end_and_a_long_one_is_cut() -> None:
    scorer = Weighs(rate)
    await tree(depth=1, scorer=scorer).solve(QUESTION, run_on(writer(wood)))
    assert scorer.asked[0] == [f"{letter}\n" * 3 + "7" for letter in "abcd"]
    cut = Weighs(rate)
    await tree(delimiter="never", step=2, width=1, parallel=1, scorer=cut).solve(QUESTION, run_on(writer(wood)))
    assert cut.asked[0] == ["a\na\n"]


async def test_the_majority_may_answer() -> None:
    def say(before: str, slot: int) -> str:
        return ["1", "so 2", "2", "3"][slot % 4]

    weigh = Weighs(lambda text: {"1": 0.9, "so 2": 0.5, "2": 0.6, "3": 0.1}[text])
    for choose, answer in (("best", "1"), ("majority", "2")):
        assert (await tree(scorer=weigh, choose=choose).solve(QUESTION, run_on(writer(say)))).answer == answer


@pytest.mark.parametrize("budget", range(0, 120, 11))
async def test_a_budget_is_kept_and_leaves_an_answer(budget: int) -> None:
    engine = writer(wood)
    run = run_on(engine, budget=budget, sampling=Sampling(max_tokens=20))
    solution = await tree(step=3).solve(QUESTION, run)
    assert run.trace.tokens == engine.generated <= budget
    assert (solution.finish, bool(solution.answer)) == ("stop" if budget >= 4 else "budget", budget > 0)


async def test_a_budget_pays_for_whole_replies_where_there_are_no_steps() -> None:
    question = replace(QUESTION, tools=(Tool("f", "{}"),))
    run = run_on(writer(lambda before, slot: "a " * 39 + "7"), budget=125, sampling=Sampling(max_tokens=40))
    solution = await tree(step=1, width=3, parallel=4).solve(question, run)
    assert [call.finish for call in run.trace.calls] == ["stop"] * 3
    assert (solution.finish, run.trace.tokens) == ("stop", 120)
    narrow = run_on(writer(lambda before, slot: "a " * 39 + "7"), budget=125, sampling=Sampling(max_tokens=40))
    assert (await tree(step=1, width=4).solve(question, narrow)).finish == "stop", "four are not paid for: one is"
    assert narrow.trace.tokens == 40


async def test_a_deadline_leaves_the_best_so_far() -> None:
    engine = writer(
        lambda before, slot: "1" if slot < 4 and not before else wood(before, slot), faults={9: Fault("stall")}
    )
    first = Weighs(lambda text: 0.9 if text == "1" else rate(text) / 2)
    run = run_on(engine, deadline=time.monotonic() + 0.2)
    solution = await tree(width=6, scorer=first).solve(QUESTION, run)
    assert (solution.answer, solution.finish, engine.open_streams) == ("1", "deadline", 0)
    slow = run_on(writer(wood), deadline=time.monotonic() + 0.1)
    late = await tree(scorer=Weighs(rate, waits=3600)).solve(QUESTION, slow)
    assert (late.answer, late.finish) == ("a\n", "deadline")


async def test_what_fails_is_named_and_billed() -> None:
    run = run_on(writer(wood))
    with pytest.raises(PonderError, match="the scorer Weighs gave NaN"):
        await tree(scorer=Weighs(lambda text: math.nan)).solve(QUESTION, run)
    assert run.trace.tokens == 4
    with pytest.raises(PonderError, match="gave 2 scores for 4 replies"):
        await tree(scorer=Weighs(rate, short=2)).solve(QUESTION, run_on(writer(wood)))
    engine = writer(wood, faults={6: Fault("error")})
    broken = run_on(engine)
    with pytest.raises(EngineError, match="scripted failure"):
        await tree().solve(QUESTION, broken)
    assert (engine.open_streams, broken.trace.tokens) == (0, engine.generated)
    billed = run_on(writer(wood))
    await tree(nodes=4, scorer=Weighs(rate, call=True)).solve(QUESTION, billed)
    assert billed.trace.tokens_by_role["verify"] == 1


async def test_infinite_scores_steer() -> None:
    scorer = Weighs(lambda text: -math.inf if "d" in text else rate(text))
    solution = await tree(scorer=scorer).solve(QUESTION, run_on(writer(wood)))
    assert "d" not in solution.answer
    assert Dpts().needs() == {"main": frozenset({Cap.PREFILL, Cap.LOGPROBS})}


@pytest.mark.parametrize("field", ["parallel", "width", "enough", "most", "nodes", "step", "depth"])
def test_counts_of_nothing_are_refused(field: str) -> None:
    with pytest.raises(OptionError, match=f"Dpts: {field} = 0 is out of range"):
        Dpts(**{field: 0})  # type: ignore[arg-type]


@pytest.mark.parametrize(("field", "value"), [("share", 1.5), ("early", -0.1), ("seek", math.nan), ("delimiter", "")])
def test_options_out_of_range_are_refused(field: str, value: object) -> None:
    with pytest.raises(OptionError, match=f"Dpts: {field} = .* is out of range"):
        Dpts(**{field: value})  # type: ignore[arg-type]
