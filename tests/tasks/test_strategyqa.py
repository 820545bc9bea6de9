from __future__ import annotations

import json
from collections import Counter

from ponder.tasks.strategyqa import StrategyQA


def test_answers_and_facts() -> None:
    items = list(StrategyQA().items())
    assert Counter(one.reference.text for one in items if one.reference) == {"no": 122, "yes": 107}
    assert items[0].problem.question.endswith("\n\nPut yes or no in \\boxed{}.")
    for one in items:
        assert all(isinstance(fact, str) for fact in json.loads(one.meta["facts"]))
        assert json.loads(one.meta["facts"])[0] not in one.problem.question
