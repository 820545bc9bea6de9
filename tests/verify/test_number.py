from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.judge import Reference, Verdict
from ponder.verify import Number

NUMBER = Number()


@pytest.mark.parametrize("answer", ["18", "She makes $18.", "\\boxed{18.0}", "答案是18元"])
def test_right(answer: str) -> None:
    assert NUMBER(answer, Reference("18")) == Verdict(True, "18")


def test_wrong_and_unanswered() -> None:
    assert NUMBER("\\boxed{-18}", Reference("18")) == Verdict(False, "-18")
    assert NUMBER("no idea", Reference("18")) == Verdict(False, None)
    assert NUMBER("", Reference("18")) == Verdict(False, None)


def test_votes_compare_extracted_answers() -> None:
    first, second = NUMBER.extract("\\boxed{\\frac{3}{4}}"), NUMBER.extract("It is 0.75.")
    assert first is not None
    assert second is not None
    assert NUMBER.same(first, second)
    assert not NUMBER.same("3", "4")


@pytest.mark.parametrize("gold", ["18", "-3", "1,234.5", "3/4", "$5", "50%"])
def test_readable_references(gold: str) -> None:
    assert NUMBER.check(Reference(gold)) is None


@pytest.mark.parametrize("gold", ["", "east", "18 or 20", "x"])
def test_unreadable_references(gold: str) -> None:
    assert "not a number" in (NUMBER.check(Reference(gold)) or "")


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9))
def test_right_exactly_if_equal(given: int, gold: int) -> None:
    assert NUMBER(f"\\boxed{{{given:,}}}", Reference(str(gold))).correct is (given == gold)


def test_is_a_value() -> None:
    assert Number() == Number()
    assert hash(Number()) == hash(Number())
    assert Number.cheap
    assert NUMBER.quick("18", Reference("18")) == Verdict(True, "18")
