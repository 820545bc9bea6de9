from __future__ import annotations

import pytest

from ponder.core.judge import Reference, Verdict
from ponder.verify import Boxed

BOXED = Boxed()


@pytest.mark.parametrize(
    ("answer", "gold", "correct"),
    [
        ("\\boxed{\\dfrac{1}{2}}", "\\frac12", True),
        ("<think>so \\boxed{5} it is, but wait", "5", True),
        ("<think>\\boxed{4}</think>\\boxed{5}", "5", True),
        ("The answer is 5", "5", False),
        ("\\boxed{0.5}", "\\frac12", False),
        ("\\boxed{x+x}", "2x", False),
    ],
)
def test_only_boxes_and_only_their_signs(answer: str, gold: str, correct: bool) -> None:
    assert BOXED(answer, Reference(gold)).correct is correct


def test_no_box_is_no_answer() -> None:
    assert BOXED("5", Reference("5")) == Verdict(False, None)
    assert BOXED.check(Reference("5")) is None
    assert BOXED.check(Reference("{")) is not None
    assert BOXED.same("5", "5")
    assert Boxed.cheap
