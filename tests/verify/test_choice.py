from __future__ import annotations

import json

import pytest

from ponder.core.judge import Reference, Verdict
from ponder.verify import Choice

CHOICE = Choice("ABCDE")
PRICES = Reference("E", json.dumps({"choices": ["$61", "$65", "$67.40", "$70", "$78.20"]}))


@pytest.mark.parametrize("answer", ["E", "(E) $78.20", "\\boxed{E}", "\\boxed{78.20}", "The price was 78.20 dollars."])
def test_by_letter_or_by_text(answer: str) -> None:
    assert CHOICE(answer, PRICES) == Verdict(True, "E")


def test_a_text_of_another_choice_is_that_choice() -> None:
    assert CHOICE("\\boxed{\\$70}", PRICES) == Verdict(False, "D")
    assert CHOICE("\\boxed{99}", PRICES) == Verdict(False, None)


def test_a_text_that_two_choices_share_chooses_none() -> None:
    twice = Reference("A", json.dumps({"choices": ["1/2", "0.5"]}))
    assert CHOICE("\\boxed{0.5}", twice) == Verdict(False, None)


def test_without_choices_only_letters_count() -> None:
    assert CHOICE("\\boxed{78.20}", Reference("E")) == Verdict(False, None)


def test_references() -> None:
    assert CHOICE.check(Reference("E")) is None
    for wrong in ("", "F", "e", "AB", "$70"):
        assert "none of the letters" in (CHOICE.check(Reference(wrong)) or "")


def test_same() -> None:
    assert CHOICE.same("A", "A")
    assert not CHOICE.same("A", "B")
