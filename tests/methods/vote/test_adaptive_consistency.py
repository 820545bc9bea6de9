from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.votes import QUESTION, echo, run_on

from ponder.core.errors import OptionError
from ponder.core.method import Solution
from ponder.engines.echo import Fault
from ponder.methods.vote.adaptive_consistency import AdaptiveConsistency
from ponder.methods.vote.self_consistency import SelfConsistency


async def vote(texts: Sequence[str], n: int = 40, **options: object) -> Solution:
    run = run_on(echo(list(texts)))
    solution = await AdaptiveConsistency(n=n, **options).solve(QUESTION, run)  # type: ignore[arg-type]
    assert len(run.trace.calls) == solution.evidence["n"]
    return solution


async def test_four_samples_that_agree_suffice() -> None:
    solution = await vote(["7"] * 9)
    assert solution.evidence == {
        "votes": 4, "share": 1.0, "n": 4, "failed": 0, "confidence": 0.96875, "exit": "sure"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("texts", "n", "confidence"), [("1222222", 7, 0.964844), ("2112222222", 10, 0.967285), ("1x1x11", 6, 0.96875)]
)
async def test_it_stops_where_the_beta_rule_says(texts: str, n: int, confidence: float) -> None:
    solution = await vote([*texts, *"99"])
    assert (solution.evidence["n"], solution.evidence["confidence"]) == (n, pytest.approx(confidence, abs=5e-7))


async def test_the_dirichlet_rule_sees_the_third_answer() -> None:
    texts = [*"12333333", *"3" * 8]
    assert (await vote(texts)).evidence["n"] == 8
    solution = await vote(texts, rule="dirichlet")
    assert float(solution.evidence["n"]) > 8
    assert solution.answer == "3"


@pytest.mark.parametrize(
    ("texts", "threshold", "n", "index"),
    [
        ("11111", 0.85, 5, 1.0),
        ("11112", 0.68, 5, 0.6891),
        ("11122", 0.58, 5, 0.5818),
        ("11123", 0.40, 5, 0.4096),
        # Below the threshold it goes on; a sample without an answer is a class of its own.
        ("111121", 0.7, 6, 0.7485),
        ("1111x1", 0.7, 6, 0.7485),
    ],
)
async def test_the_certaindex_of_the_first_five_and_of_each_more(
    texts: str, threshold: float, n: int, index: float
) -> None:
    first = await vote([*texts, *"1111"], rule="certaindex", threshold=threshold, batch=5)
    if n == 5:
        assert (first.evidence["n"], first.evidence["confidence"]) == (5, pytest.approx(index, abs=5e-5))
    else:
        one = await vote([*texts, *"1111"], rule="certaindex", threshold=threshold, batch=6)
        assert (first.evidence["n"], one.evidence["n"]) == (10, 6)
        assert one.evidence["confidence"] == pytest.approx(index, abs=5e-5)


async def test_a_lead_that_cannot_be_caught_needs_no_more_samples() -> None:
    solution = await vote([*"12111", *"22"], n=7)
    assert (solution.answer, solution.evidence["n"], solution.evidence["exit"]) == ("1", 5, "settled")
    assert float(solution.evidence["confidence"]) < 0.95


@pytest.mark.parametrize(("batch", "n"), [(1, 4), (3, 6), (5, 5), (100, 40)])
async def test_batches_are_looked_at_when_they_are_whole(batch: int, n: int) -> None:
    assert (await vote(["7"] * 40, batch=batch)).evidence["n"] == n


@given(st.lists(st.sampled_from(["1", "2", "3", "x"]), min_size=1, max_size=12))
async def test_where_it_never_stops_it_is_self_consistency(texts: list[str]) -> None:
    n = len(texts)
    solution = await vote(texts, n, threshold=1.0, batch=n)
    plain = await SelfConsistency(n=n).solve(QUESTION, run_on(echo(texts)))
    assert (solution.answer, solution.evidence["votes"]) == (plain.answer, plain.evidence["votes"])
    early = await vote(texts, n, threshold=1.0)
    assert early.answer == plain.answer, "and stops early only where that changes nothing"


async def test_samples_that_state_nothing_make_nobody_sure() -> None:
    solution = await vote(["no"] * 6, n=6, threshold=0.0)
    assert (solution.answer, solution.evidence["n"], solution.evidence["confidence"]) == ("no", 6, 0.0)


@pytest.mark.parametrize("rule", ["beta", "dirichlet", "certaindex"])
@pytest.mark.parametrize(
    ("texts", "patience", "n", "exit"),
    [
        ("x" * 40, 10, 10, "unanswered"),
        ("x" * 40, 4, 4, "unanswered"),
        ("x" * 40, 0, 40, None),
        ("x" * 9 + "7" * 31, 5, 5, "unanswered"),
    ],
)
async def test_samples_that_all_state_nothing_end_it_once_patience_is_out(
    texts: str, patience: int, n: int, exit: str | None, rule: str
) -> None:
    solution = await vote([*texts], rule=rule, patience=patience)
    assert (solution.evidence["n"], solution.evidence.get("exit"), solution.answer) == (n, exit, "x")
    assert (solution.evidence["failed"], solution.evidence["votes"]) == (n, 0)


async def test_an_answer_before_patience_is_out_keeps_the_papers_rule() -> None:
    solution = await vote([*"xxxxxxxxx7", *"777", *"9999"])
    assert (solution.answer, solution.evidence["n"], solution.evidence["exit"]) == ("7", 13, "sure")


async def test_a_limit_ends_the_vote_with_what_was_said() -> None:
    engine = echo(["1", "2", "3"], faults={2: Fault("stall")})
    run = run_on(engine, deadline=time.monotonic() + 0.1)
    solution = await AdaptiveConsistency().solve(QUESTION, run)
    assert (solution.answer, solution.finish, engine.calls, "exit" in solution.evidence) == ("1", "deadline", 3, False)


def test_options_out_of_range_are_refused() -> None:
    for options in ({"threshold": 1.1}, {"batch": 0}, {"n": 0}, {"patience": -1}):
        with pytest.raises(OptionError, match="out of range"):
            AdaptiveConsistency(**options)  # type: ignore[arg-type]
