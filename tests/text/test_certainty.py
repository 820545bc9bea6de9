"""Agreement, certaindex and confidence, with the numbers that the papers' formulas give."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.certainty import (
    HESITATION,
    agreement,
    brace_end,
    cautious,
    certaindex,
    confidence,
    max_reward,
    mean_reward,
    passes,
    says,
    until_brace,
)

P = (0.99, 0.98, 0.80, 0.99)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("42}", "42"),
        (" 42 } \\]\nSo it is.", "42"),
        ("\\frac{1}{2}} and more }", "\\frac{1}{2}"),
        ("\\{1, 2\\}}", "\\{1, 2\\}"),
        ("}", ""),
        ("42", None),
        ("{42}", None),
        ("", None),
    ],
)
def test_the_answer_ends_at_the_first_unmatched_brace(text: str, answer: str | None) -> None:
    assert until_brace(text) == answer
    assert (brace_end(text) is None) == (answer is None)


@pytest.mark.parametrize(
    "text", ["Wait", "42} \\] hmm, is it", "No.", "okay", "hold on", "42, but", "不对", "42}，等一下", "嗯"]
)
def test_hesitation_is_heard(text: str) -> None:
    assert says(text, HESITATION)


@pytest.mark.parametrize(
    "text",
    ["I know", "denominator", "another", "distribution", "attribute", "threshold", "awaits", "42}", "答案是42", ""],
)
def test_hesitation_words_inside_other_words_are_none(text: str) -> None:
    """The released code takes substrings, which fires on all of these."""
    assert not says(text, HESITATION)


def test_agreement_is_the_share_that_equals_the_last() -> None:
    answers = ["7", "12", "12", "", "12", "12", "12"]
    shares = [agreement(answers[: n + 1], 3, str.__eq__) for n in range(7)]
    assert shares == pytest.approx([1 / 3, 1 / 3, 2 / 3, 0, 2 / 3, 2 / 3, 1])
    assert agreement([], 3, str.__eq__) == 0


def test_equality_is_the_tasks() -> None:
    assert agreement(["0.5", "1/2"], 2, lambda a, b: {a, b} == {"0.5", "1/2"}) == 1


@pytest.mark.parametrize(
    ("answers", "value"),
    [("aaaaa", 1), ("aaaab", 0.6891), ("aaabb", 0.5818), ("aaabc", 0.4096), ("abcde", 0), ("a", 0), ("", 0)],
)
def test_certaindex(answers: str, value: float) -> None:
    assert certaindex(list(answers), str.__eq__) == pytest.approx(value, abs=5e-5)


def test_answers_that_state_nothing_are_all_different() -> None:
    assert certaindex([None] * 5, str.__eq__) == pytest.approx(0, abs=1e-12)
    assert certaindex(["a", "a", "a", None, None], str.__eq__) == pytest.approx(0.4096, abs=5e-5)


@given(st.lists(st.sampled_from("abc"), min_size=2, max_size=9))
def test_certaindex_is_in_0_to_1_and_knows_no_order(answers: list[str]) -> None:
    value = certaindex(answers, str.__eq__)
    assert 0 <= value <= 1 + 1e-12
    assert certaindex(answers[::-1], str.__eq__) == pytest.approx(value)


def test_all_signals_must_pass() -> None:
    assert passes([(0.69, 0.5), (mean_reward([0.25, 0.75]), 0.5), (max_reward([0.25, 0.75]), 0.7)])
    assert not passes([(0.69, 0.5), (mean_reward([0.25, 0.75]), 0.6)])
    assert not passes([])
    assert (mean_reward([]), max_reward([])) == (0, 0)


def test_confidence_is_that_of_the_paper_and_of_its_code() -> None:
    assert confidence(P) == pytest.approx(0.93626, abs=5e-6)
    assert confidence(P, "arithmetic") == pytest.approx(0.94)
    assert confidence(P, "geometric", True) == pytest.approx(0.91900, abs=5e-6)
    assert confidence(P, "arithmetic", True) == pytest.approx(0.92333, abs=5e-6)
    assert all(confidence(P, mean, skip) < 0.95 for mean in ("geometric", "arithmetic") for skip in (True, False))


def test_one_token_is_its_own_confidence() -> None:
    """The released code divides by zero here."""
    assert confidence([0.9], skip_first=True) == pytest.approx(0.9)
    assert (confidence([]), confidence([0.0, 1.0])) == (0, 0)
    assert confidence([math.exp(-1.0)] * 3) == pytest.approx(math.exp(-1))


def test_several_trials_lose_their_mean_distance() -> None:
    assert cautious([0.97, 0.93, 0.99, 0.91]) == pytest.approx(0.92)
    assert cautious([0.97, 0.93, 0.99, 0.91], 0.0) == pytest.approx(0.95)
    assert cautious([0.9], 5.0) == pytest.approx(0.9)
