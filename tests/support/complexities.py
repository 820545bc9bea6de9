"""Arms whose token complexities are known, for tests of what reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ponder.bench.arms import Arm, Attempt

Reply = tuple[int, bool | None]


def attempt(question: str, tokens: int, correct: bool | None, seed: int = 0) -> Attempt:
    return Attempt(question, seed, correct, tokens, {"answer": tokens}, 0, 0, False, 0.0, None, True)


def arms(**replies: Mapping[str, Sequence[Reply]]) -> dict[str, Arm]:
    """Return arms from each method's replies (tokens, correct) to each question."""
    made = {}
    for label, by_question in replies.items():
        arm = made[label] = Arm(label, {}, "model", "toy")
        for question, found in by_question.items():
            for seed, (tokens, correct) in enumerate(found):
                arm.add(attempt(question, tokens, correct, seed))
    return made


def worked_out() -> dict[str, Arm]:
    """Return the arms of the notes' worked example: complexities 9, 50, 80 and infinity."""
    short = {"a": [(9, True)], "b": [(10, False)], "c": [(12, False)], "d": [(9, False)]}
    middle = {"a": [(40, True)], "b": [(50, True)], "c": [(60, False)], "d": [(50, False)]}
    long = {"a": [(90, True)], "b": [(120, True)], "c": [(80, True)], "d": [(110, False)]}
    return arms(short=short, middle=middle, long=long)
