from __future__ import annotations

from ponder.tasks.gsm8k import GSM8K
from ponder.verify import Number


def test_the_first_question() -> None:
    (first,) = GSM8K().items(1)
    assert first.problem.id == "gsm8k-test-0"
    assert first.problem.question.endswith("farmers' market?\n\nPut the final answer in \\boxed{}.")
    assert first.reference is not None
    assert first.reference.text == "18"
    assert "9 * 2" in first.meta["rationale"]
    assert GSM8K().verifier == Number()


def test_negative_answers_are_there() -> None:
    negative = [one.reference.text for one in GSM8K().items() if one.reference and one.reference.text.startswith("-")]
    assert negative == ["-10", "-3"]
