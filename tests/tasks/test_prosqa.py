from __future__ import annotations

import json
import re

from ponder.core.judge import Verdict
from ponder.tasks.prosqa import ProsQA


def test_the_answer_is_one_of_the_two_concepts_and_follows() -> None:
    verifier = ProsQA().verifier
    for one in ProsQA().items():
        assert one.reference is not None
        asked = re.search(r"Is (\w+) an? (\w+) or (\w+)\?$", one.meta["question"])
        assert asked is not None
        name, *concepts = asked.groups()
        assert one.reference.text in concepts
        other = next(concept for concept in concepts if concept != one.reference.text)
        last = json.loads(one.meta["steps"])[-1]
        assert last.removesuffix(".").endswith(one.reference.text)
        assert verifier(f"{last} So {name} is a {one.reference.text}.", one.reference).correct
        assert verifier(f"\\boxed{{{other}}}", one.reference) == Verdict(False, other)
