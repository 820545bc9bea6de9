from __future__ import annotations

import math
import time

import pytest
from method_cases import Jittery
from support.trees import QUESTION, Weighs, count_a, letters, run_on, said, writer

from ponder.core.engine import Cap, Sampling
from ponder.core.errors import EngineError, OptionError, PonderError
from ponder.core.problem import Prompt, Tool
from ponder.engines.echo import Echo, Fault
from ponder.methods.search.beam_search import BeamSearch, seated
from ponder.methods.vote.best_of_n import BestOfN
from ponder.methods.vote.sample import Sample
from ponder.steer.branch import Branch


def lines(text: str) -> BeamSearch:
    return BeamSearch(n=4, width=2, scorer=Weighs(count_a), delimiter=text)


@pytest.mark.parametrize("heat", [0.0, 1.0])
@pytest.mark.parametrize("delimiter", ["wait ", "so ", "never there"])
async def test_one_beam_is_plain_sampling(delimiter: str, heat: float) -> None:
    for seed in range(6):
        one, plain = (run_on(Echo(), seed=seed, sampling=Sampling(temperature=heat)) for _ in range(2))
        method = BeamSearch(n=1, width=1, delimiter=delimiter, step=5)
        found, expected = await method.solve(QUESTION, one), await Sample().solve(QUESTION, plain)
        assert said(found, one) == said(expected, plain)
        assert one.trace.shown == plain.trace.shown
        assert len(one.trace.calls) > 1, "it did grow step by step"


async def test_one_beam_is_not_scored_and_needs_no_more_than_to_go_on() -> None:
    scorer = Weighs(lambda text: math.nan)
    await BeamSearch(n=1, scorer=scorer).solve(QUESTION, run_on(Echo()))
    assert scorer.asked == []
    assert BeamSearch(n=1).needs() == {"main": frozenset({Cap.PREFILL})}
    assert BeamSearch().needs() == {"main": frozenset({Cap.PREFILL, Cap.LOGPROBS})}


@pytest.mark.parametrize("delay", range(3))
async def test_width_one_keeps_every_beam_so_it_is_best_of_n(delay: int) -> None:
    for seed in range(4):
        ours, theirs = run_on(Jittery(Echo(), delay), seed=seed), run_on(Echo(), seed=seed)
        found = await BeamSearch(n=5, width=1, delimiter="wait ", step=4).solve(QUESTION, ours)
        expected = await BestOfN(n=5).solve(QUESTION, theirs)
        assert said(found, ours) == said(expected, theirs)
        assert found.evidence["score"] == pytest.approx(expected.evidence["score"])


async def test_width_n_keeps_one_prefix_after_each_step() -> None:
    scorer = Weighs(count_a)
    run = run_on(writer(letters(3)))
    solution = await BeamSearch(n=4, width=4, scorer=scorer, delimiter="\n").solve(QUESTION, run)
    assert [sorted(batch) for batch in scorer.asked] == [
        ["a\n", "a\n", "b\n", "b\n"],
        ["a\na\n", "a\na\n", "a\nb\n", "a\nb\n"],
        ["a\na\na\n", "a\na\na\n", "a\na\nb\n", "a\na\nb\n"],
        ["a\na\na\n7"] * 4,
    ]
    assert solution.answer == "a\na\na\n7"
    assert solution.evidence == {"score": 3.0, "n": 4, "steps": 4, "ended": 4, "narrowed": 0}
    assert run.trace.tokens == 4 * 4, "every step of every beam is billed, pruned ones too"


async def test_what_all_beams_share_is_shown_at_once_and_never_taken_back() -> None:
    run = run_on(writer(letters(3)))
    await BeamSearch(n=4, width=4, scorer=Weighs(count_a), delimiter="\n").solve(QUESTION, run)
    assert run.trace.shown == [("answer", "a\n")] * 3 + [("answer", "7")]


async def test_the_best_n_over_width_go_on_and_each_is_copied_in_turn() -> None:
    beams = [Branch(Prompt(()), None, slot, score=score) for slot, score in enumerate([0.1, 0.9, 0.5, 0.7])]  # type: ignore[arg-type]
    kept = seated(beams, range(4), 2)
    assert [(beam.slot, beam.score) for beam in kept] == [(1, 0.9), (3, 0.7), (0, 0.9), (2, 0.7)]
    assert [(beam.slot, beam.score) for beam in seated(beams, [1, 3], 4)] == [(1, 0.9), (3, 0.7)]
    assert [beam.slot for beam in seated(beams, range(4), 4)] == [1, 3, 2, 0], "who stays keeps its slot"
    assert seated([], range(4), 2) == []


async def test_beams_that_end_are_kept_and_give_their_slots_up() -> None:
    def say(before: str, slot: int) -> str:
        return "" if before.endswith(("1", "2")) else "1" if slot == 0 else ("a\n" * (3 - before.count("\n"))) + "2"

    scorer = Weighs(lambda text: 9.0 if text == "1" else count_a(text))
    solution = await BeamSearch(n=4, width=2, scorer=scorer, delimiter="\n").solve(QUESTION, run_on(writer(say)))
    assert [len(batch) for batch in scorer.asked] == [4, 3, 3, 3]
    assert (solution.answer, solution.evidence["ended"]) == ("1", 4)


async def test_equal_beams_may_be_one() -> None:
    """Of eight beams, six say `a`: the two best are both that one, unless they must differ."""
    for distinct, second in ((False, {"a\n"}), (True, {"a\n", "b\n"})):
        scorer = Weighs(count_a)
        method = BeamSearch(n=8, width=4, distinct=distinct, scorer=scorer, delimiter="\n")
        await method.solve(QUESTION, run_on(writer(lambda before, slot: letters(3)(before, slot == 7))))
        assert {text[:2] for text in scorer.asked[1]} == second
        assert len(scorer.asked[1]) == 8


async def test_diverse_trees_do_not_compete() -> None:
    """Slots 0 and 1 are a tree, 2 and 3 another, in which nothing but `b` and `c` is ever said."""

    def say(before: str, slot: int) -> str:
        return "abcb"[slot] + "\n" if before.count("\n") < 2 else str(slot + 1)

    weigh = Weighs(lambda text: count_a(text) + text.count("c") / 10)
    method = BeamSearch(n=4, width=2, diverse=True, scorer=weigh, delimiter="\n")
    solution = await method.solve(QUESTION, run_on(writer(say)))
    assert [sorted(batch) for batch in weigh.asked] == [
        ["a\n", "b\n", "b\n", "c\n"],
        ["a\na\n", "a\nb\n", "c\nb\n", "c\nc\n"],
        ["a\na\n1", "a\na\n2", "c\nc\n3", "c\nc\n4"],
    ]
    assert solution.answer == "a\na\n1"
    together = Weighs(weigh.weigh)
    await BeamSearch(n=4, width=2, scorer=together, delimiter="\n").solve(QUESTION, run_on(writer(say)))
    assert sorted(together.asked[1]) == ["a\na\n", "a\nb\n", "c\nb\n", "c\nc\n"]


async def test_the_chosen_score_of_a_tree_is_no_less_than_its_siblings_at_each_depth() -> None:
    scorer = Weighs(count_a)
    method = BeamSearch(n=4, width=4, diverse=True, scorer=scorer, delimiter="\n")
    solution = await method.solve(QUESTION, run_on(writer(letters(5))))
    for depth, batch in enumerate(scorer.asked[:-1], 1):
        followed = "".join(f"{line}\n" for line in solution.answer.split("\n")[:depth])
        assert count_a(followed) == max(map(count_a, batch))


async def test_the_majority_may_answer() -> None:
    def say(before: str, slot: int) -> str:
        return ["1", "so 2", "2", "3"][slot]

    rates = Weighs(lambda text: {"1": 0.9, "so 2": 0.5, "2": 0.6, "3": 0.1}[text])
    for choose, answer in (("best", "1"), ("majority", "2")):
        method = BeamSearch(n=4, width=1, scorer=rates, choose=choose)  # type: ignore[arg-type]
        assert (await method.solve(QUESTION, run_on(writer(say)))).answer == answer


async def test_a_delimiter_that_never_comes_leaves_steps_of_the_most_tokens() -> None:
    run = run_on(writer(lambda before, slot: "on " * (12 - before.count("on")) + "5"))
    scorer = Weighs(count_a)
    solution = await BeamSearch(n=2, width=2, scorer=scorer, step=5).solve(QUESTION, run)
    assert [len(batch[0].split()) for batch in scorer.asked] == [5, 10, 13]
    assert (solution.answer, solution.finish) == ("on " * 12 + "5", "stop")


async def test_the_last_step_goes_to_the_end() -> None:
    scorer = Weighs(count_a)
    run = run_on(writer(letters(9)))
    solution = await BeamSearch(n=4, width=4, depth=2, scorer=scorer, delimiter="\n").solve(QUESTION, run)
    assert (len(scorer.asked), solution.answer, solution.finish) == (2, "a\n" * 9 + "7", "stop")


async def test_max_tokens_holds_for_a_reply_as_a_whole() -> None:
    run = run_on(writer(letters(50)), sampling=Sampling(max_tokens=7))
    solution = await BeamSearch(n=2, width=2, scorer=Weighs(count_a), delimiter="\n").solve(QUESTION, run)
    assert (solution.answer, solution.finish, run.trace.tokens) == ("a\n" * 7, "length", 14)


async def test_a_small_budget_makes_a_narrow_tree_with_an_answer() -> None:
    sampling = Sampling(max_tokens=8)
    run = run_on(writer(letters(3)), budget=10, sampling=sampling)
    method = BeamSearch(n=4, width=4, scorer=Weighs(count_a), delimiter="\n", step=2)
    solution = await method.solve(QUESTION, run)
    assert (solution.answer, solution.finish) == ("a\na\na\n7", "stop")
    assert solution.evidence["narrowed"] == 4
    broke = await method.solve(QUESTION, run_on(writer(letters(3)), budget=3, sampling=sampling))
    assert (broke.answer, broke.finish) == ("a\na\na\n", "budget")


@pytest.mark.parametrize("budget", range(0, 60, 7))
async def test_a_budget_is_kept_by_the_whole_tree(budget: int) -> None:
    engine = Echo()
    run = run_on(engine, budget=budget, sampling=Sampling(max_tokens=20))
    await BeamSearch(n=4, width=2, delimiter="wait ", step=3).solve(QUESTION, run)
    assert run.trace.tokens == engine.generated <= budget


async def test_a_deadline_leaves_the_best_answer_so_far() -> None:
    def say(before: str, slot: int) -> str:
        return f"{slot}1" if slot < 2 else "a\n" * (99 - before.count("\n"))

    scorer = Weighs(lambda text: {"01": 0.1, "11": 0.2}.get(text, count_a(text)))
    engine = writer(say, faults={6: Fault("stall", at=0)})
    run = run_on(engine, deadline=time.monotonic() + 0.2)
    solution = await BeamSearch(n=4, width=2, scorer=scorer, delimiter="\n").solve(QUESTION, run)
    assert (solution.answer, solution.finish, engine.open_streams) == ("11", "deadline", 0)
    assert run.trace.tokens == engine.generated


async def test_a_deadline_within_scoring_leaves_what_is_there() -> None:
    run = run_on(writer(lambda before, slot: f"{slot}"), deadline=time.monotonic() + 0.1)
    solution = await BeamSearch(n=2, width=1, scorer=Weighs(count_a, waits=3600)).solve(QUESTION, run)
    assert (solution.answer, solution.finish) == ("0", "deadline")


async def test_an_empty_answer_wins_only_where_all_are() -> None:
    run = run_on(writer(lambda before, slot: ["", "hm", "<think>so</think>", "4"][slot]))
    rates = Weighs(lambda text: 0.0 if text == "4" else 9.0)
    assert (await BeamSearch(n=4, width=1, scorer=rates).solve(QUESTION, run)).answer == "4"


@pytest.mark.parametrize("n", [1, 2])
async def test_a_stop_string_of_the_client_that_begins_like_the_delimiter_ends_the_reply(n: int) -> None:
    whole = "one\n\ntwo 7\n\nHuman: no"
    run = run_on(Echo(lambda prompt, seed: whole.removeprefix(prompt.prefill)), sampling=Sampling(stop=("\n\nHuman:",)))
    solution = await BeamSearch(n=n, width=1, scorer=Weighs(count_a)).solve(QUESTION, run)
    assert (solution.answer, solution.finish) == ("one\n\ntwo 7", "stop")
    assert "".join(text for _, text in run.trace.shown) == solution.answer


async def test_a_scorer_that_fails_is_named_and_its_bill_is_right() -> None:
    for scorer, message in (
        (Weighs(lambda text: math.nan), "the scorer Weighs gave NaN for sample 1"),
        (Weighs(count_a, short=1), "the scorer Weighs gave 3 scores for 4 replies"),
        (Weighs(lambda text: 1 / 0), "the scorer Weighs failed \\(ZeroDivisionError"),
    ):
        engine = writer(letters(3))
        run = run_on(engine)
        with pytest.raises(PonderError, match=message):
            await BeamSearch(n=4, width=2, scorer=scorer, delimiter="\n").solve(QUESTION, run)
        assert (run.trace.tokens, engine.open_streams) == (engine.generated, 0)


async def test_scores_of_any_size_are_scores() -> None:
    scorer = Weighs(lambda text: -math.inf if "b" in text else -1e9)
    run = run_on(writer(letters(2)))
    assert (await BeamSearch(n=4, width=2, scorer=scorer, delimiter="\n").solve(QUESTION, run)).answer == "a\na\n7"


async def test_calls_of_the_scorer_are_billed_as_such_after_each_step() -> None:
    run = run_on(writer(letters(2)))
    await BeamSearch(n=2, width=2, scorer=Weighs(count_a, call=True), delimiter="\n").solve(QUESTION, run)
    assert run.trace.tokens_by_role["verify"] == 3
    assert [call.branch for call in run.trace.calls if call.role == "verify"] == [(3,), (4,), (5,)]


async def test_a_beam_that_fails_ends_the_others() -> None:
    engine = writer(letters(30), faults={5: Fault("error", at=1)})
    run = run_on(Jittery(engine, 1))
    with pytest.raises(EngineError, match="scripted failure"):
        await BeamSearch(n=4, width=2, scorer=Weighs(count_a), delimiter="a\na\n").solve(QUESTION, run)
    assert engine.open_streams == 0


async def test_what_cannot_be_gone_on_with_is_sampled_whole() -> None:
    """Tool calls are parsed by chat endpoints alone, and a grammar would begin anew."""
    for extra in ({"tools": (Tool("f", "{}"),)}, {"response_format": "{}"}):
        question = type(QUESTION)(QUESTION.id, QUESTION.messages, **extra)  # type: ignore[arg-type]
        scorer = Weighs(count_a)
        run = run_on(writer(letters(3)))
        solution = await BeamSearch(n=2, width=2, scorer=scorer, delimiter="\n").solve(question, run)
        assert (solution.answer, len(scorer.asked), len(run.trace.calls)) == ("a\na\na\n7", 1, 2)


@pytest.mark.parametrize(
    ("options", "field"),
    [({"n": 0}, "n"), ({"width": 0}, "width"), ({"depth": 0}, "depth"), ({"step": 0}, "step"),
     ({"delimiter": ""}, "delimiter"), ({"temperature": -1.0}, "temperature")],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, int], field: str) -> None:
    with pytest.raises(OptionError, match=f"BeamSearch: {field} = .* is out of range"):
        BeamSearch(**options)  # type: ignore[arg-type]
