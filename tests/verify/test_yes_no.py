from __future__ import annotations

import pytest

from ponder.core.judge import Reference, Verdict
from ponder.verify import YesNo

VERIFIER = YesNo()


@pytest.mark.parametrize(
    ("answer", "gold", "verdict"),
    [
        ("Yes.", "yes", Verdict(True, "yes")),
        ("是的", "yes", Verdict(True, "yes")),
        ("No", "否", Verdict(True, "no")),
        ("False", "no", Verdict(True, "no")),
        ("No", "yes", Verdict(False, "no")),
        ("Perhaps", "yes", Verdict(False, None)),
    ],
)
def test_judging(answer: str, gold: str, verdict: Verdict) -> None:
    assert VERIFIER(answer, Reference(gold)) == verdict


@pytest.mark.parametrize("gold", ["yes", "no", "Yes", "true", "False", "是", "否", "不是"])
def test_readable_references(gold: str) -> None:
    assert VERIFIER.check(Reference(gold)) is None


@pytest.mark.parametrize("gold", ["", "maybe", "5", "yes, because it is English", "Paris"])
def test_unreadable_references(gold: str) -> None:
    assert VERIFIER.check(Reference(gold)) is not None


def test_same() -> None:
    assert VERIFIER.same("yes", "yes")
    assert not VERIFIER.same("yes", "no")
