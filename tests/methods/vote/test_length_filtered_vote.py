from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.votes import QUESTION, echo, run_on

from ponder.core.errors import OptionError
from ponder.core.method import Solution
from ponder.engines.echo import Fault
from ponder.methods.vote.length_filtered_vote import LengthFilteredVote
from ponder.methods.vote.self_consistency import SelfConsistency

NOTED = ["3A", "3B", "4B", "5C", "5C", "6C", "7B", "8B", "9B", "9A", "10B", "11D"]
"""Length and answer of twelve samples."""
ANSWERS = {"A": "1", "B": "2", "C": "3", "D": "4"}


def reply(noted: str, between: str = "\n") -> str:
    """Return a reply whose thought has so many steps."""
    return f"<think>{between.join(['so '] * int(noted[:-1]))}</think>{ANSWERS[noted[-1]]}"


async def vote(texts: list[str], **options: object) -> Solution:
    method = LengthFilteredVote(n=len(texts), **options)  # type: ignore[arg-type]
    return await method.solve(QUESTION, run_on(echo(texts)))


@pytest.mark.parametrize(
    ("keep", "answer", "votes", "kept"), [(1, "C", 2, 3), (2, "B", 3, 6), (3, "B", 4, 8), (5, "B", 6, 12)]
)
@pytest.mark.parametrize(("unit", "between"), [("lines", "\n"), ("paragraphs", "\n\n")])
async def test_the_worked_example(keep: int, answer: str, votes: int, kept: int, unit: str, between: str) -> None:
    solution = await vote([reply(noted, between) for noted in NOTED], keep=keep, unit=unit)
    assert solution.answer == ANSWERS[answer]
    assert solution.evidence == {
        "votes": votes, "share": votes / 12, "n": 12, "failed": 0, "bins": 5, "kept": kept
    }  # fmt: skip


async def test_the_answer_is_measured_where_there_is_no_thought() -> None:
    texts = ["a\nb\nis 5", "a\nb\nis 5", "7", "8", "9"]
    assert (await vote(texts, keep=1)).answer == texts[0]


async def test_tokens_are_cut_into_bins_of_equal_size() -> None:
    texts = [f"{'so ' * length}{answer}" for length, answer in ((1, 7), (2, 8), (3, 9), (20, 5), (21, 5), (22, 6))]
    solution = await vote(texts, keep=1, unit="tokens", bins=2)
    assert (solution.answer, solution.evidence["bins"], solution.evidence["kept"]) == (texts[3], 2, 3)


async def test_a_lone_sample_does_not_win_by_agreeing_with_itself() -> None:
    texts = [reply(noted) for noted in ("1A", "5B", "5B", "5C", "9D")]
    assert (await vote(texts, keep=1)).answer == ANSWERS["B"]
    assert (await vote(texts, keep=1, smallest=1)).answer == ANSWERS["A"], "the paper's rule"


@given(st.lists(st.sampled_from(["1", "2", "so 2", "x", "a\nb\nc\n3"]), min_size=1, max_size=9))
async def test_one_bin_is_self_consistency(texts: list[str]) -> None:
    plain = await SelfConsistency(n=len(texts)).solve(QUESTION, run_on(echo(texts)))
    for options in ({"unit": "tokens", "bins": 1, "keep": 1}, {"width": 1000, "keep": 1}, {"keep": 50}):
        one = await vote(texts, **options)
        assert (one.answer, one.thinking, one.finish) == (plain.answer, plain.thinking, plain.finish)
        assert one.evidence["votes"] == plain.evidence["votes"]


async def test_a_limit_ends_the_vote_with_what_was_said() -> None:
    engine = echo(["1", "2", "2"], faults={2: Fault("stall")})
    solution = await LengthFilteredVote(n=3).solve(QUESTION, run_on(engine, deadline=time.monotonic() + 0.1))
    assert (solution.answer, solution.finish, engine.open_streams) == ("1", "deadline", 0)


def test_options_out_of_range_are_refused() -> None:
    for name in ("n", "keep", "width", "bins", "smallest"):
        with pytest.raises(OptionError, match=f"{name} = 0 is out of range"):
            LengthFilteredVote(**{name: 0})  # type: ignore[arg-type]
