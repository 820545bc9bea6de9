from __future__ import annotations

from collections import Counter

from ponder.tasks.math500 import MATH500
from ponder.verify import Math


def test_subjects_and_levels() -> None:
    items = list(MATH500().items())
    assert items[0].problem.id == "math500-precalculus-807"
    assert Counter(one.meta["level"] for one in items) == {"1": 43, "2": 90, "3": 105, "4": 128, "5": 134}
    assert len({one.meta["subject"] for one in items}) == 7
    assert MATH500().verifier == Math()
