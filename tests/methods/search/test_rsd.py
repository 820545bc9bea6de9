from __future__ import annotations

import math
import time
from dataclasses import replace

import pytest
from method_cases import Jittery
from support.trees import QUESTION, Weighs, said

from ponder.core.engine import Cap, Sampling, Think
from ponder.core.errors import EngineError, OptionError, PonderError, Unsupported
from ponder.core.method import Solution, check
from ponder.core.problem import Prompt, Tool
from ponder.core.run import Run
from ponder.engines.echo import CAPS, Echo, Fault, token_id
from ponder.methods.search.rsd import Rsd
from ponder.methods.vote.sample import Sample
from ponder.text.answers import number

INF = math.inf


def writes(*lines: str, **options: object) -> Echo:
    """Return an engine that writes these lines, whatever stands in the lines before."""
    return Echo(lambda prompt, seed: "\n".join(lines[prompt.prefill.count("\n") :]), **options)  # type: ignore[arg-type]


def run_on(main: Echo | Jittery, draft: Echo | Jittery, **options: object) -> Run:
    return Run({"main": main, "draft": draft}, extract=number, **options)  # type: ignore[arg-type]


def lines(**options: object) -> Rsd:
    return Rsd(delimiter="\n", **{"part": "step", **options})  # type: ignore[arg-type]


async def test_steps_are_accepted_golden() -> None:
    """Rewards .9 .72 .65 .7 .3, of which 0.7 itself is kept: 90 tokens kept, 110 dropped, 100 rewritten."""
    sizes, rewards = (30, 40, 50, 20, 60), (0.9, 0.72, 0.65, 0.7, 0.3)
    draft = writes(*(f"{f'd{place} ' * (size - 1)}d{place}" for place, size in enumerate(sizes)))
    main = writes(*(f"{f'm{place} ' * (size - 1)}m{place}" for place, size in enumerate((1, 1, 45, 1, 55))))
    scorer = Weighs(lambda text: rewards[int(text[1])])
    run = run_on(main, draft)
    solution = await lines(threshold=0.7, scorer=scorer).solve(QUESTION, run)
    assert [line[:2] for line in solution.answer.split("\n")] == ["d0", "d1", "m2", "d3", "m4"]
    assert solution.evidence == {"kept": 3, "rewritten": 2}
    assert run.trace.tokens_by_role == {"draft": 90 + 110, "answer": 100}
    assert (draft.generated, main.generated) == (200, 100)
    # 1.5, 7 and 1.5 billion parameters of draft, main engine and scorer, two operations each: hardly less than the main
    # engine's own 190 tokens.
    assert 2 * (1.5 * draft.generated + 7 * main.generated + 1.5 * draft.generated) == 2600 < 2 * 7 * 190 == 2660


@pytest.mark.parametrize("heat", [0.0, 1.0])
async def test_minus_infinity_is_the_draft_alone(heat: float) -> None:
    for seed in range(5):
        ours, theirs = (run_on(Echo("main"), Echo(), seed=seed, sampling=Sampling(temperature=heat)) for _ in range(2))
        scorer = Weighs(lambda text: math.nan)
        method = Rsd(threshold=-INF, scorer=scorer, delimiter="wait ", step=4, depth=3)
        found = await method.solve(QUESTION, ours)
        expected = await Sample().solve(QUESTION, theirs.on("draft").quiet(0))
        assert said(found, ours) == said(expected, theirs)
        assert (ours.trace.tokens_by_role.keys(), scorer.asked) == ({"draft"}, [])
        assert len(ours.trace.calls) > 1, "it did go step by step"


@pytest.mark.parametrize("heat", [0.0, 1.0])
async def test_infinity_is_the_main_engine_alone(heat: float) -> None:
    for seed in range(5):
        ours, theirs = (run_on(Echo(), Echo("no"), seed=seed, sampling=Sampling(temperature=heat)) for _ in range(2))
        found = await Rsd(threshold=INF).solve(QUESTION, ours)
        expected = await Sample().solve(QUESTION, theirs)
        assert said(found, ours) == said(expected, theirs)
        assert ours.trace.shown == theirs.trace.shown


@pytest.mark.parametrize("patience", [1, 2, 99])
async def test_where_every_draft_is_rejected_the_reply_is_the_main_engines(patience: int) -> None:
    for seed in range(5):
        ours, theirs = (
            run_on(Echo(), Echo("no wait no", think=Echo().think), seed=seed),
            run_on(Echo(), Echo(), seed=seed),
        )
        scorer = Weighs(lambda text: 0.0)
        method = Rsd(threshold=1e9, scorer=scorer, patience=patience, delimiter="wait ", step=4)
        found, expected = await method.solve(QUESTION, ours), await Sample().solve(QUESTION, theirs)
        assert (found.thinking, found.answer, found.finish) == (expected.thinking, expected.answer, expected.finish)
        assert len(scorer.asked) <= patience


async def test_patience_is_each_problems_own_and_cuts_nothing() -> None:
    """The released code counts steps over a batch, and ends each problem of a batch of one at its fifth."""
    good = {0, 2, 3}
    scorer = Weighs(lambda text: float(int(text[1]) in good))
    run = run_on(writes(*(f"m{i}" for i in range(8))), writes(*(f"d{i}" for i in range(8))))
    solution = await lines(threshold=0.5, scorer=scorer, patience=2).solve(QUESTION, run)
    assert solution.answer.split("\n") == ["d0", "m1", "d2", "d3", "m4", "m5", "m6", "m7"]
    assert [batch[0] for batch in scorer.asked] == [f"d{i}\n" for i in range(6)]
    assert (solution.evidence, solution.finish) == ({"kept": 3, "rewritten": 4}, "stop")


async def test_the_scorer_is_handed_the_step_or_the_reply() -> None:
    for part, asked in (("step", ["d0\n", "d1"]), ("reply", ["d0\n", "d0\nd1"])):
        scorer = Weighs(lambda text: 1.0)
        run = run_on(writes("m0", "m1"), writes("d0", "d1"))
        await lines(threshold=0.5, scorer=scorer, part=part).solve(QUESTION, run)
        assert [batch[0] for batch in scorer.asked] == asked


async def test_each_engine_goes_on_from_its_own_ids_and_from_the_others_text() -> None:
    prompts: list[tuple[str, str, tuple[int | str, ...]]] = []

    def heard(name: str) -> Echo:
        def say(prompt: Prompt, seed: int) -> str:
            prompts.append((name, prompt.prefill, prompt.prefill_ids))
            return f"{name} {name}\n" * (3 - prompt.prefill.count("\n")) + "1"

        return Echo(say, name=name)

    scorer = Weighs(lambda text: float(text.count("\n") == 1))
    run = run_on(heard("m"), heard("d"))
    await lines(threshold=0.5, scorer=scorer, part="reply").solve(QUESTION, run)
    assert run.trace.notes == ["draft and main engine read each other's steps as text"]
    assert prompts[:5] == [
        ("d", "", ()),
        ("d", "d d\n", (token_id("d "), "d\n")),
        ("m", "d d\n", ()),
        ("d", "d d\nm m\n", (token_id("d "), "d\nm m\n")),
        ("m", "d d\nm m\n", ("d d\n", token_id("m "), "m\n")),
    ]


async def test_kept_steps_are_shown_at_once_and_rewritten_ones_as_they_come() -> None:
    scorer = Weighs(lambda text: float(text.startswith("d0")))
    run = run_on(writes("m0", "m1 m1", "m2"), writes("d0 d0", "d1", "d2"))
    solution = await lines(threshold=0.5, scorer=scorer).solve(QUESTION, run)
    assert [text for _, text in run.trace.shown] == ["d0 d0\n", "m1 ", "m1", "\n", "m2"]
    assert solution.answer == "d0 d0\nm1 m1\nm2"


async def test_an_end_without_a_step_is_kept_after_an_answer_alone() -> None:
    scorer = Weighs(lambda text: 1.0)
    silent = Echo(lambda prompt, seed: "" if prompt.prefill else "so\n")
    solution = await lines(threshold=0.5, scorer=scorer).solve(QUESTION, run_on(writes("m", "7"), silent))
    assert solution.answer == "so\n7"
    sure = Echo(lambda prompt, seed: "" if prompt.prefill else "7\n")
    again = await lines(threshold=0.5, scorer=scorer).solve(QUESTION, run_on(writes("m", "8"), sure))
    assert again.answer == "7\n"


async def test_the_usual_scorer_reads_the_step_alone() -> None:
    run = run_on(Echo(), Echo())
    solution = await Rsd(delimiter="wait ", step=5, threshold=-0.4).solve(QUESTION, run)
    assert solution.answer
    assert all(call.logprobs for call in run.trace.calls if call.text)
    assert Rsd().needs() == dict.fromkeys(("main", "draft"), frozenset({Cap.PREFILL, Cap.LOGPROBS}))
    assert Rsd(threshold=INF).needs() == dict.fromkeys(("main", "draft"), frozenset({Cap.PREFILL}))


async def test_the_last_step_is_the_main_engines() -> None:
    run = run_on(writes("m0", "m1", "m2", "m3"), writes("d0", "d1", "d2", "d3"))
    solution = await lines(threshold=0.0, scorer=Weighs(lambda text: 1.0), depth=3).solve(QUESTION, run)
    assert solution.answer.split("\n") == ["d0", "d1", "m2", "m3"]


@pytest.mark.parametrize("budget", range(0, 100, 9))
async def test_a_budget_pays_the_main_engine_first(budget: int) -> None:
    main, draft = writes(*("m m m",) * 5), writes(*("d d d",) * 5)
    run = run_on(main, draft, budget=budget, sampling=Sampling(max_tokens=20))
    method = lines(threshold=0.5, scorer=Weighs(lambda text: 0.0), step=4, patience=99)
    solution = await method.solve(QUESTION, run)
    assert run.trace.tokens == main.generated + draft.generated <= budget
    assert solution.finish == ("stop" if budget >= 15 else "budget")


@pytest.mark.parametrize(("budget", "drafted"), [(79, 0), (80, 40), (200, 40)])
async def test_a_draft_that_is_the_whole_reply_leaves_another_one_to_be_paid(budget: int, drafted: int) -> None:
    """Nobody goes on with a reply that has tools, so that the most tokens of a step say nothing."""
    question = replace(QUESTION, tools=(Tool("f", "{}"),))
    main, draft = writes("m " * 39 + "m"), writes("d " * 39 + "d")
    run = run_on(main, draft, budget=budget, sampling=Sampling(max_tokens=40))
    solution = await lines(threshold=0.5, scorer=Weighs(lambda text: 0.0), step=1).solve(question, run)
    assert (solution.finish, solution.answer[-1]) == ("stop", "m")
    assert (draft.generated, main.generated) == (drafted, 40)


async def test_a_deadline_leaves_what_is_written() -> None:
    for engines in (
        (writes("m0", "7"), writes("d0", "d1", faults={1: Fault("stall", at=0)})),
        (writes("m0", "7", faults={0: Fault("stall", at=0)}), writes("d0", "x1")),
    ):
        run = run_on(*engines, deadline=time.monotonic() + 0.2)
        scorer = Weighs(lambda text: float(text.startswith("d")))
        solution = await lines(threshold=0.5, scorer=scorer).solve(QUESTION, run)
        assert (solution.answer, solution.finish) == ("d0\n", "deadline")
        assert run.trace.tokens == sum(engine.generated for engine in engines)
    slow = run_on(writes("m0"), writes("d0", "d1"), deadline=time.monotonic() + 0.1)
    late = await lines(threshold=0.5, scorer=Weighs(lambda text: 1.0, waits=3600)).solve(QUESTION, slow)
    assert (late.answer, late.finish) == ("d0\n", "deadline")


async def test_what_fails_is_named_and_billed() -> None:
    main, draft = writes("m0", "m1"), writes("d0", "d1")
    run = run_on(main, draft)
    with pytest.raises(PonderError, match="the scorer Weighs gave NaN"):
        await lines(threshold=0.5, scorer=Weighs(lambda text: math.nan)).solve(QUESTION, run)
    assert run.trace.tokens == draft.generated == 1
    broken = run_on(main, writes("d0", faults={0: Fault("error")}))
    with pytest.raises(EngineError, match="scripted failure"):
        await lines(threshold=0.5, scorer=Weighs(lambda text: 1.0)).solve(QUESTION, broken)
    billed = run_on(writes("m0", "m1"), writes("d0", "d1"))
    await lines(threshold=0.5, scorer=Weighs(lambda text: 1.0, call=True)).solve(QUESTION, billed)
    assert billed.trace.tokens_by_role["verify"] == 2


async def test_a_request_that_cannot_be_gone_on_with_is_drafted_whole() -> None:
    question = replace(QUESTION, tools=(Tool("f", "{}"),))
    for score, answer in ((1.0, "d0\nd1"), (0.0, "m0\nm1")):
        run = run_on(writes("m0", "m1"), writes("d0", "d1"))
        solution: Solution = await lines(threshold=0.5, scorer=Weighs(lambda text, s=score: s)).solve(question, run)  # type: ignore[misc]
        assert solution.answer == answer


async def test_models_that_mark_their_thoughts_differently_are_refused() -> None:
    engines = {"main": Echo(name="large"), "draft": Echo(name="small", think=Think("[THINK]", "[/THINK]"))}
    with pytest.raises(Unsupported, match="large and small mark their thinking differently"):
        check(Rsd(), engines)
    with pytest.raises(Unsupported, match="needs an engine named 'draft'"):
        check(Rsd(), {"main": Echo()})
    check(Rsd(), {"main": Echo(), "draft": Echo(caps=CAPS - {Cap.TOKEN_IDS})})


@pytest.mark.parametrize(
    ("options", "field"),
    [({"patience": 0}, "patience"), ({"depth": 0}, "depth"), ({"step": 0}, "step"),
     ({"threshold": math.nan}, "threshold"), ({"draft": "main"}, "draft"), ({"draft": ""}, "draft"),
     ({"delimiter": ""}, "delimiter")],
)  # fmt: skip
def test_options_out_of_range_are_refused(options: dict[str, float], field: str) -> None:
    with pytest.raises(OptionError, match=f"Rsd: {field} = .* is out of range"):
        Rsd(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(("score", "drafted"), [(0.69, False), (0.7, True)])
async def test_any_other_scorer_reads_the_reply_and_keeps_from_seven_tenths_on(score: float, drafted: bool) -> None:
    scorer = Weighs(lambda text: score)
    run = run_on(writes("m0", "m1"), writes("d0", "d1"))
    solution = await Rsd(delimiter="\n", scorer=scorer).solve(QUESTION, run)
    assert solution.answer == ("d0\nd1" if drafted else "m0\nm1")
    assert [batch[0] for batch in scorer.asked] == (["d0\n", "d0\nd1"] if drafted else ["d0\n", "m0\nd1"])
