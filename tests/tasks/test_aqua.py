from __future__ import annotations

from ponder.core.judge import Verdict
from ponder.tasks.aqua import AQuA


def test_choices_are_lettered_lines_and_may_be_stated_by_their_text() -> None:
    second = list(AQuA().items(2))[1]
    assert second.problem.question.endswith(
        "\nA) $61\nB) $65\nC) $67.40\nD) $70\nE) $78.20\n\nPut the letter of the right choice in \\boxed{}."
    )
    assert second.reference is not None
    assert AQuA().verifier("\\boxed{78.20}", second.reference) == Verdict(True, "E")
    assert AQuA().verifier("\\boxed{D}", second.reference) == Verdict(False, "D")


def test_letters_are_all_in_use() -> None:
    assert {one.reference.text for one in AQuA().items() if one.reference} == set("ABCDE")
