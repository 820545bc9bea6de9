"""Where calls stand in a tree: the marks of every search and of votes, checked against what each really did."""

from __future__ import annotations

import pytest
from support.trees import QUESTION, Weighs, count_a, letters, run_on, writer

from ponder.core.method import Method
from ponder.core.problem import Prompt
from ponder.core.run import Run
from ponder.core.trace import Place
from ponder.engines.echo import Echo
from ponder.methods.search.beam_search import BeamSearch
from ponder.methods.search.dpts import Dpts
from ponder.methods.search.mcts import Mcts
from ponder.methods.search.rsd import Rsd
from ponder.methods.search.speculative_rejection import SpeculativeRejection
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample
from ponder.methods.vote.self_consistency import SelfConsistency
from ponder.scorers.verifier_prompt import VerifierPrompt
from ponder.steer.branch import WHOLE, Cut, grow, root
from ponder.steer.places import place_of, plant, prune
from ponder.text.answers import number


def way(run: Run) -> str:
    """Return the text of the calls that the answer was written by, from the first to the chosen one."""
    tree = run.trace.tree
    (step,) = [at for at, place in tree.items() if place.fate == "chosen"]
    texts: list[str] = []
    while True:
        texts.append(run.trace.calls[step].text)
        after = tree[step].after
        if after is None:
            return "".join(reversed(texts))
        assert after < step, "a call goes on from one that had ended"
        step = after


SEARCHES: list[Method] = [
    BeamSearch(n=4, width=2, scorer=Weighs(count_a), delimiter="\n"),
    BeamSearch(n=4, width=2, diverse=True, scorer=Weighs(count_a), delimiter="\n"),
    BeamSearch(n=1, delimiter="\n"),
    Mcts(simulations=6, width=2, scorer=Weighs(count_a), delimiter="\n"),
    Mcts(simulations=6, width=2, parallel=3, value="step", scorer=Weighs(count_a), delimiter="\n"),
    Dpts(parallel=2, width=2, enough=2, scorer=Weighs(count_a), delimiter="\n"),
    SpeculativeRejection(n=4, first=1, scorer=Weighs(count_a)),
]


@pytest.mark.parametrize("method", SEARCHES, ids=repr)
async def test_every_call_of_a_search_has_its_place_and_one_end_is_chosen(method: Method) -> None:
    run = run_on(writer(letters(3)))
    solution = await method.solve(QUESTION, run)
    tree = run.trace.tree
    assert sorted(tree) == list(range(len(run.trace.calls)))
    # An engine that says which delimiter it met gives it out no more, so that steps are compared without.
    assert way(run).replace("\n", "") == (solution.thinking + solution.answer).replace("\n", "")
    parents = {place.after for place in tree.values()}
    assert not any(place.fate in ("pruned", "ended") for at, place in tree.items() if at in parents)


async def test_what_beam_search_drops_is_pruned_and_what_it_keeps_is_not() -> None:
    run = run_on(writer(letters(2)))
    await BeamSearch(n=4, width=2, scorer=Weighs(count_a), delimiter="\n").solve(QUESTION, run)
    fates = {at: place.fate for at, place in run.trace.tree.items()}
    parents = {place.after for place in run.trace.tree.values()}
    first = [at for at, place in run.trace.tree.items() if place.after is None]
    assert [fates[at] for at in first].count("pruned") == 2
    assert all((fates[at] == "pruned") == ("b" in run.trace.calls[at].text) for at in first)
    assert all(fates[at] in ("pruned", "ended", "chosen") for at in fates if at not in parents)
    assert all(run.trace.tree[at].score is not None for at in fates)


async def test_drafts_that_are_rewritten_are_pruned_and_both_engines_write_one_reply() -> None:
    main, draft = writer(lambda before, slot: "m\n" * (3 - before.count("\n")) + "7"), Echo(
        lambda prompt, seed: "d\n" * (3 - prompt.prefill.count("\n")) + "7"
    )  # fmt: skip
    run = Run({"main": main, "draft": draft}, extract=number)
    scores = iter((0.0, 1.0, 0.0, 1.0))
    rsd = Rsd(threshold=0.5, scorer=Weighs(lambda text: next(scores)), delimiter="\n")
    solution = await rsd.solve(QUESTION, run)
    drafts = [(run.trace.tree[at].fate, call.engine) for at, call in enumerate(run.trace.calls) if call.role == "draft"]
    assert [fate for fate, _ in drafts].count("pruned") == solution.evidence["rewritten"] == 2
    assert way(run).replace("\n", "") == solution.answer.replace("\n", "") == "mdm7"


async def test_mcts_counts_visits_and_values() -> None:
    run = run_on(writer(letters(2)))
    await Mcts(simulations=6, width=2, scorer=Weighs(count_a), delimiter="\n").solve(QUESTION, run)
    first = [place for place in run.trace.tree.values() if place.after is None]
    assert sum(place.visits for place in first) == 6
    assert all(place.score is not None for place in first if place.visits)


async def test_samples_of_a_vote_stand_side_by_side() -> None:
    run = run_on(writer(letters(1)))
    await BestOfN(n=3, scorer=Weighs(count_a)).solve(QUESTION, run)
    tree = run.trace.tree
    assert [(place.after, place.score, place.fate) for _, place in sorted(tree.items())] == [
        (None, 1.0, "chosen"), (None, 0.0, "ended"), (None, 1.0, "ended"),
    ]  # fmt: skip
    votes = run_on(Echo())
    await SelfConsistency(n=3).solve(QUESTION, votes)
    assert sorted(place.fate for place in votes.trace.tree.values()) == ["chosen", "ended", "ended"]


async def test_calls_of_a_scorer_and_plain_replies_stand_in_no_tree() -> None:
    run = run_on(Echo())
    await BestOfN(n=2, scorer=VerifierPrompt()).solve(QUESTION, run)
    assert {run.trace.calls[at].role for at in run.trace.tree} == {"think"}
    plain = run_on(Echo())
    await Sample().solve(QUESTION, plain)
    assert plain.trace.tree == {}


async def test_a_call_that_never_took_place_leaves_the_branch_where_it_was() -> None:
    run = run_on(writer(letters(3)), budget=1)
    one = await grow(root(QUESTION, run, None), run, Cut("\n"), {})
    late = await grow(one, run, WHOLE, {})
    assert (one.at, late.at, late.ended, list(run.trace.tree)) == (0, 0, True, [0])


async def test_forks_share_the_call_that_they_go_on_from() -> None:
    run = run_on(writer(letters(3)))
    trunk = await grow(root(QUESTION, run, None), run.quiet(0), Cut("\n"), {})
    left, right = [await grow(trunk, run.quiet(slot), WHOLE, {}) for slot in (1, 2)]
    assert [run.trace.tree[branch.at or 0].after for branch in (left, right)] == [trunk.at, trunk.at]
    prune(run, [left, right], [right])
    assert (run.trace.tree[left.at or 0].fate, run.trace.tree[right.at or 0].fate) == ("pruned", "ended")


async def test_only_calls_of_the_trace_are_planted() -> None:
    run = run_on(Echo())
    call = await run.generate(Prompt.of(QUESTION))
    assert plant(run, call, fate="ended") == 0
    other = await run_on(Echo()).generate(Prompt.of(QUESTION))
    assert plant(run, other) is None, "an equal call is another one"
    place_of(run, None).fate = "chosen"
    assert run.trace.tree == {0: Place(fate="ended")}
