from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.text.budgets import estimated
from ponder.text.prompts import ESTIMATE


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("Budget: [[77]]", 77),
        ("[[seventy]]", None),
        ("Budget: [[budget]]", None),
        ("预算：[[ 60 ]]。", 60),
        ("Budget: [[77]], for example [[12]]", 77),
        ("Budget: [[0]]", None),
        ("Budget: [[-1]]", None),
        ("Budget: [[1.5]]", None),
        ("Budget: [77]", None),
        ("77", None),
        ("", None),
        (f"[[{'9' * 5000}]]", None),
    ],
)
def test_an_estimate_is_a_number_in_double_brackets(text: str, budget: int | None) -> None:
    assert estimated(text) == budget


@given(st.text(), st.integers(1, 999_999_999))
def test_any_number_above_zero_is_read_wherever_it_stands(around: str, budget: int) -> None:
    text = around.replace("[", "") + f"[[{budget}]]{around}"
    assert estimated(text) == budget


@given(st.text(alphabet="[]0123456789- ab\n"))
def test_what_is_read_is_a_budget_or_nothing(text: str) -> None:
    found = estimated(text)
    assert found is None or found >= 1


@pytest.mark.parametrize("text", ESTIMATE)
def test_a_model_that_repeats_what_it_was_asked_estimates_the_example(text: str) -> None:
    assert estimated(text) == 12
