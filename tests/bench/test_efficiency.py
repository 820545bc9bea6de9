from __future__ import annotations

import json
from dataclasses import replace

import pytest
from support.records import record

from ponder.bench.efficiency import efficiency_of, with_efficiency
from ponder.bench.summary import Arm, Attempt, summarize
from ponder.verify import Number


@pytest.mark.parametrize(
    ("reply", "share"),
    [
        ("It is 5.", 1.0),
        ("It is 4.", 0.0),
        ("", 0.0),
        ("2 and 3\n\n so 5\n\nlet me check", 12 / 24),
        ("5\n5\n5", 1 / 3),
    ],
)
def test_the_share_ends_with_the_first_right_paragraph(reply: str, share: float) -> None:
    assert efficiency_of(reply, "5", Number()) == pytest.approx(share)


def test_an_answer_is_compared_as_the_task_compares_it() -> None:
    assert efficiency_of("It is 1,000.00\nyes, 1000", "1000", Number()) == pytest.approx(14 / 23)


def test_rows_get_the_mean_of_their_attempts() -> None:
    def attempt(question: str, reply: str, reference: str | None) -> object:
        trace = {"reference": reference, "solution": {"thinking": "", "answer": reply}}
        return replace(record(question), trace=json.dumps(trace))

    records = [attempt("a", "5\n5", "5"), attempt("b", "4", "5"), attempt("c", "5", None)]
    arm = Arm("sample", {}, "echo", "gsm8k")
    arm.add(Attempt("a", 0, True, 3, {}, 1, 0, False, 0.0, None, True))
    rows = summarize({"sample": arm}, "sample", constants=None)
    (row,) = with_efficiency(rows, records, {"gsm8k": Number()})  # type: ignore[arg-type]
    assert row.outcome_efficiency == pytest.approx((0.5 + 0.0) / 2)
    (row,) = with_efficiency(rows, records, {})  # type: ignore[arg-type]
    assert row.outcome_efficiency is None
