"""Trees of stored traces as lines: what is indented, what goes on in its column, and what old traces show."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.bench.trees import MARKS, Twig, facts, rails, shortened, twigs

Call = dict[str, object]


def call(text: str = "step", after: int | None = None, fate: str = "open", tokens: int = 1, **over: object) -> Call:
    return {"role": "think", "thinking": text, "answer": "", "think_tokens": tokens, "answer_tokens": 0, "latent": 0,
            "after": after, "fate": fate, "score": None, "visits": 0, **over}  # fmt: skip


def drawn(calls: list[Call]) -> list[str]:
    return [f"{rails(twig)}{MARKS[twig.fate]} {twig.text}" for twig in twigs(calls)]


def test_what_leads_to_the_answer_stays_in_its_column_behind_what_was_left() -> None:
    calls = [
        call("a"), call("b", fate="pruned"), call("c", 0, "pruned"), call("d", 0), call("e", 3, "ended"),
        call("f", 3, "chosen"),
    ]  # fmt: skip
    assert drawn(calls) == ["├─× b", "● a", "├─× c", "● d", "├─◆ e", "● f"]


def test_a_branch_of_several_steps_shows_that_they_are_one() -> None:
    calls = [
        call("a"),
        call("b", 0),
        call("c", 1),
        call("d", 2, "ended"),
        call("e", 1, "open"),
        call("z", None, "chosen"),
    ]
    assert drawn(calls) == ["├─○ a", "│ ○ b", "│ ├─○ c", "│ │ ◆ d", "│ ├─· e", "● z"]


def test_samples_stand_side_by_side_and_the_chosen_one_last() -> None:
    calls = [call("a", fate="ended"), call("b", fate="chosen"), call("c", fate="ended")]
    assert drawn(calls) == ["├─◆ a", "├─◆ c", "● b"]
    assert drawn([call("a", fate="ended"), call("c", fate="ended")]) == ["├─◆ a", "├─◆ c"]


def test_calls_that_say_nothing_are_counted_with_what_follows() -> None:
    calls = [call("", tokens=2), call("  \n", 0, tokens=3), call("a", 1, tokens=4), call("", 2, "chosen", tokens=5)]
    assert [(twig.text, twig.tokens, twig.call) for twig in twigs(calls)] == [("a", 9, 2), ("", 5, 3)]
    fork = [call("", tokens=2), call("a", 0, "chosen"), call("b", 0)]
    assert [twig.tokens for twig in twigs(fork)] == [2, 1, 1], "what forks is a line of its own"


def test_what_is_known_of_a_step() -> None:
    (twig,) = twigs([call(fate="pruned", tokens=1200, score=0.12345, visits=3)])
    assert facts(twig) == "× 1,200 tokens · 0.123 · 3 visits · pruned"
    (bare,) = twigs([call(fate="ended", role="draft", score="-inf", visits=1)])
    assert facts(bare) == "◆ draft · 1 token · -inf · 1 visit · ended"


def test_a_trace_from_before_shows_no_tree_and_a_broken_one_loses_no_step() -> None:
    old = [{key: value for key, value in call().items() if key not in ("after", "fate", "score", "visits")}] * 3
    assert twigs(old) == []
    assert twigs([]) == []
    mixed = [*old, call("a", 1), call("b", 9), call("c", 5), call("d", -1), call("e", "x")]  # type: ignore[arg-type]
    assert sorted(twig.text for twig in twigs(mixed)) == ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(("text", "shown"), [("a\n b\t c", "a b c"), ("abcdef", "abcd…"), ("", ""), ("abcde", "abcde")])
def test_a_line_is_one_line(text: str, shown: str) -> None:
    assert shortened(Twig(0, False, 0, "think", 1, None, 0, "open", text), 5).text == shown


@given(st.lists(st.tuples(st.integers(-1, 30), st.sampled_from(["open", "pruned", "ended", "chosen"])), max_size=30))
def test_every_step_is_shown_once_and_no_token_is_lost(steps: list[tuple[int, str]]) -> None:
    calls = [
        call(f"s{n}" if n % 3 else "", after if after >= 0 else None, fate) for n, (after, fate) in enumerate(steps)
    ]
    found = twigs(calls)
    assert sum(twig.tokens for twig in found) == len(calls)
    assert len({twig.call for twig in found}) == len(found)
    assert {twig.text for twig in found if twig.text} == {f"s{n}" for n in range(len(calls)) if n % 3}
    for before, twig in pairwise(found):
        assert twig.depth <= before.depth + 1


def test_a_reply_of_a_thousand_steps_is_no_staircase() -> None:
    calls = [call("a"), *(call("a", n) for n in range(1000))]
    calls[-1]["fate"] = "chosen"
    assert {twig.depth for twig in twigs(calls)} == {0}
