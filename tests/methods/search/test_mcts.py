from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from method_cases import Jittery
from support.trees import QUESTION, Weighs, count_a, run_on, said, writer

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import EngineError, OptionError, PonderError
from ponder.core.problem import Tool
from ponder.engines.echo import Echo, Fault
from ponder.methods.search.mcts import Mcts
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample
from ponder.scorers.verifier_prompt import VerifierPrompt


def maze(before: str, slot: int) -> str:
    """Three lines, `a` or `b` as the slot has it by its bits, and the answer: how many `a` there are."""
    lines = before.split("\n")[:-1]
    while len(lines) < 3:
        lines.append("ab"[slot >> len(lines) & 1])
    whole = "\n".join(lines) + "\n" + str(lines.count("a"))
    return whole[len(before) :]


def share(text: str) -> float:
    return text.count("a") / 3


@pytest.mark.parametrize("value", ["rollout", "step"])
@pytest.mark.parametrize("heat", [0.0, 1.0])
async def test_one_simulation_is_one_sample(value: str, heat: float) -> None:
    for seed in range(6):
        one, plain = (run_on(Echo(), seed=seed, sampling=Sampling(temperature=heat)) for _ in range(2))
        scorer = Weighs(lambda text: math.nan)
        method = Mcts(simulations=1, value=value, scorer=scorer, delimiter="so ", step=6)  # type: ignore[arg-type]
        found, expected = await method.solve(QUESTION, one), await Sample().solve(QUESTION, plain)
        assert said(found, one) == said(expected, plain)
        assert (one.trace.shown, scorer.asked) == (plain.trace.shown, [])
        assert len(one.trace.calls) > 1, "a step, and the rest"
    assert Mcts(simulations=1, rule="puct").needs() == {"main": frozenset({Cap.PREFILL})}
    assert Mcts(rule="puct", scorer=scorer).needs() == {"main": frozenset({Cap.PREFILL, Cap.LOGPROBS})}


@pytest.mark.parametrize("parallel", [1, 3, 8])
async def test_a_tree_no_deeper_than_its_root_is_best_of_n(parallel: int) -> None:
    for seed in range(4):
        ours, theirs = run_on(Jittery(Echo(), seed), seed=seed), run_on(Echo(), seed=seed)
        method = Mcts(simulations=5, width=5, parallel=parallel, delimiter="wait ", step=4)
        found, expected = await method.solve(QUESTION, ours), await BestOfN(n=5).solve(QUESTION, theirs)
        assert said(found, ours) == said(expected, theirs)
        assert found.evidence["score"] == pytest.approx(expected.evidence["score"])


async def test_the_tree_goes_where_values_are_high() -> None:
    for best, weigh in (("a", share), ("b", lambda text: 1 - share(text))):
        scorer = Weighs(weigh)
        method = Mcts(simulations=12, width=2, c=0.3, scorer=scorer, delimiter="\n")
        solution = await method.solve(QUESTION, run_on(writer(maze)))
        texts = [text for batch in scorer.asked for text in batch]
        assert sum(text.startswith(best) for text in texts[2:]) > 0.7 * len(texts[2:])
        assert solution.evidence["score"] == max(map(weigh, texts))
        assert solution.evidence["simulations"] == 12 >= len(texts), "an ended reply is not scored again"


async def test_without_exploration_the_best_value_is_followed() -> None:
    """The root is filled with `a` and `b`; then all visits are below `a`."""
    scorer = Weighs(share)
    method = Mcts(simulations=6, width=2, c=0.0, value="step", scorer=scorer, delimiter="\n")
    await method.solve(QUESTION, run_on(writer(lambda before, slot: maze(before, slot % 2 * 7))))
    assert [batch[0][:2] for batch in scorer.asked] == ["a\n", "b\n", "a\n", "a\n", "a\n", "a\n"]


async def test_steps_are_valued_without_rollouts_and_the_most_visited_one_is_written_to_its_end() -> None:
    scorer = Weighs(share)
    run = run_on(writer(maze))
    method = Mcts(simulations=3, width=2, value="step", scorer=scorer, delimiter="\n")
    solution = await method.solve(QUESTION, run)
    assert [len(text.split()) for batch in scorer.asked for text in batch] == [1, 1, 2]
    assert solution.answer.splitlines()[0] == "a"
    assert (len(solution.answer.splitlines()), solution.finish) == (4, "stop")
    assert run.trace.tokens == 1 + 1 + 1 + 2, "three steps, and what was left of the one that was chosen"
    assert "".join(text for _, text in run.trace.shown) == solution.answer
    assert len(run.trace.shown) == 3, "what the tree had written at once, and the rest as it came"


async def test_steps_with_priors_go_to_the_likelier_child() -> None:
    for rule in ("uct", "puct"):
        run = run_on(Echo(), seed=2)
        solution = await Mcts(simulations=8, width=3, rule=rule, delimiter="wait ", step=4).solve(QUESTION, run)  # type: ignore[arg-type]
        assert solution.evidence["simulations"] == 8
    bare = Mcts(simulations=2, rule="puct", scorer=Weighs(share))
    run = run_on(Echo())
    await bare.solve(QUESTION, run)
    assert all(call.logprobs for call in run.trace.calls), "priors are asked for, even if the scorer needs none"


async def test_equal_steps_are_one_node() -> None:
    run = run_on(writer(lambda before, slot: maze(before, 0)))
    solution = await Mcts(simulations=4, width=2, scorer=Weighs(share), delimiter="\n").solve(QUESTION, run)
    assert (solution.evidence["simulations"], solution.answer) == (4, "a\na\na\n3")


async def test_an_ended_reply_is_visited_again_at_no_cost() -> None:
    run = run_on(writer(lambda before, slot: str(slot)))
    scorer = Weighs(lambda text: float(text == "1"))
    solution = await Mcts(simulations=9, width=2, scorer=scorer).solve(QUESTION, run)
    assert (solution.answer, run.trace.tokens, len(scorer.asked)) == ("1", 2, 2)
    assert solution.evidence == {"score": 1.0, "simulations": 9, "ended": 2}


@pytest.mark.parametrize("choose", ["best", "majority", "visits"])
async def test_how_the_answer_is_chosen(choose: str) -> None:
    """Slot 0 gives the best reply, the others agree on another one; below `b` values are better in the mean."""
    texts = {0: "a\n1", 1: "b\n2", 2: "b\n2", 3: "b\n2"}

    def say(before: str, slot: int) -> str:
        return texts[slot][len(before) :] if slot < 2 or before else texts[slot]

    scorer = Weighs(lambda text: {"a\n1": 0.9, "b\n2": 0.8}.get(text, 0.0))
    method = Mcts(simulations=4, width=4, scorer=scorer, choose=choose, delimiter="\n")  # type: ignore[arg-type]
    solution = await method.solve(QUESTION, run_on(writer(say)))
    assert solution.answer == ("a\n1" if choose == "best" else "b\n2")


@pytest.mark.parametrize("delay", range(4))
async def test_visits_side_by_side_depend_on_no_clock(delay: int) -> None:
    method = Mcts(simulations=9, width=2, parallel=4, delimiter="wait ", step=4)
    ours, theirs = run_on(Jittery(Echo(), delay), seed=5), run_on(Echo(), seed=5)
    assert said(await method.solve(QUESTION, ours), ours) == said(await method.solve(QUESTION, theirs), theirs)


async def test_the_model_may_judge_its_own_reasoning() -> None:
    method = Mcts(simulations=3, value="step", scorer=VerifierPrompt(so_far=True), delimiter="wait ", step=4)
    run = run_on(Echo())
    solution = await method.solve(QUESTION, run)
    assert solution.answer
    assert run.trace.tokens_by_role["verify"] >= 3


@pytest.mark.parametrize("value", ["rollout", "step"])
@pytest.mark.parametrize("budget", range(0, 100, 9))
async def test_a_budget_is_kept_and_leaves_an_answer(budget: int, value: str) -> None:
    engine = writer(maze)
    run = run_on(engine, budget=budget, sampling=Sampling(max_tokens=20))
    method = Mcts(value=value, parallel=3, scorer=Weighs(share), delimiter="\n", step=3)  # type: ignore[arg-type]
    solution = await method.solve(QUESTION, run)
    assert run.trace.tokens == engine.generated <= budget
    assert solution.finish == ("stop" if budget >= 4 else "budget")
    assert bool(solution.answer) == (budget > 0)


@pytest.mark.parametrize("value", ["rollout", "step"])
async def test_a_budget_pays_for_whole_replies_where_there_are_no_steps(value: str) -> None:
    """Nobody goes on with a reply that has tools: each visit is a whole one, so eight side by side would all be cut."""
    question = replace(QUESTION, tools=(Tool("f", "{}"),))
    engine = writer(lambda before, slot: "a " * 39 + "1")
    run = run_on(engine, budget=125, sampling=Sampling(max_tokens=40))
    method = Mcts(value=value, parallel=8, width=8, scorer=Weighs(share), delimiter="\n", step=1)  # type: ignore[arg-type]
    solution = await method.solve(question, run)
    assert [call.finish for call in run.trace.calls] == ["stop"] * 3
    assert (solution.finish, solution.answer[-1], run.trace.tokens) == ("stop", "1", 120)


async def test_a_deadline_leaves_the_best_answer_so_far() -> None:
    for value, call, answer in (("rollout", 6, "a\na\na\n3"), ("step", 0, "")):
        engine = writer(maze, faults={call: Fault("stall", at=0)})
        run = run_on(engine, deadline=time.monotonic() + 0.2)
        method = Mcts(value=value, scorer=Weighs(share), delimiter="\n")  # type: ignore[arg-type]
        solution = await method.solve(QUESTION, run)
        assert (solution.answer, solution.finish, engine.open_streams) == (answer, "deadline", 0)
    late = run_on(writer(maze), deadline=time.monotonic() + 0.1)
    slow = await Mcts(scorer=Weighs(share, waits=3600), delimiter="\n").solve(QUESTION, late)
    assert (slow.answer, slow.finish) == ("a\na\na\n3", "deadline")


async def test_the_last_step_and_the_longest_one() -> None:
    scorer = Weighs(count_a)
    method = Mcts(simulations=3, width=1, value="step", depth=2, scorer=scorer, delimiter="\n")
    await method.solve(QUESTION, run_on(writer(maze)))
    assert [len(batch[0].split()) for batch in scorer.asked] == [1, 4]
    never = Weighs(count_a)
    await Mcts(simulations=2, width=1, value="step", step=2, scorer=never).solve(QUESTION, run_on(writer(maze)))
    assert [len(batch[0].split()) for batch in never.asked] == [2, 4]


async def test_scores_of_any_size_steer() -> None:
    for size in (1.0, 1e6, -1e6):
        scorer = Weighs(lambda text, by=size: share(text) * abs(by) + min(by, 0.0))  # type: ignore[misc]
        run = run_on(writer(maze))
        solution = await Mcts(simulations=12, width=2, c=0.3, scorer=scorer, delimiter="\n").solve(QUESTION, run)
        assert solution.answer.splitlines()[-1] == "3"
    lost = await Mcts(simulations=4, scorer=Weighs(lambda text: -math.inf)).solve(QUESTION, run_on(writer(maze)))
    assert lost.answer


async def test_a_scorer_that_fails_is_named_and_a_model_that_fails_ends_all() -> None:
    run = run_on(writer(maze))
    with pytest.raises(PonderError, match="the scorer Weighs gave NaN"):
        await Mcts(scorer=Weighs(lambda text: math.nan), delimiter="\n").solve(QUESTION, run)
    assert run.trace.tokens == 4
    with pytest.raises(PonderError, match="gave 1 scores for 2 replies"):
        await Mcts(scorer=Weighs(share, short=1), parallel=2).solve(QUESTION, run_on(writer(maze)))
    engine = writer(maze, faults={3: Fault("error", at=0)})
    broken = run_on(engine)
    with pytest.raises(EngineError, match="scripted failure"):
        await Mcts(scorer=Weighs(share), parallel=4, delimiter="\n").solve(QUESTION, broken)
    assert (engine.open_streams, broken.trace.tokens) == (0, engine.generated)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"simulations": 0}, "simulations"), ({"width": 0}, "width"), ({"parallel": 0}, "parallel"),
     ({"depth": 0}, "depth"), ({"c": -1.0}, "c"), ({"c": math.nan}, "c"), ({"delimiter": ""}, "delimiter"),
     ({"step": 0}, "step")],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, float], field: str) -> None:
    with pytest.raises(OptionError, match=f"Mcts: {field} = .* is out of range"):
        Mcts(**options)  # type: ignore[arg-type]
