"""Curves over the number of samples: worked by hand, and on recorded replies of real models."""

from __future__ import annotations

import asyncio
import os
from dataclasses import replace
from pathlib import Path

import pytest

from ponder.bench import metrics
from ponder.bench.curves import Curve, Question, mean_curve, question_curve
from ponder.bench.replay import ReplayPlan, plan_methods, replay
from ponder.bench.replayed import curves_of
from ponder.methods import catalogue

SLICES = Path(__file__).parents[1] / "data" / "traces"
FULL = Path(os.environ.get("PONDER_TRACES") or Path(__file__).parents[3] / "shared" / "data")
needs_full = pytest.mark.skipif(
    not (FULL / "traces").is_dir(), reason="needs the full recorded sets: PONDER_TRACES=FOLDER with traces/ and tables/"
)
SEVERAL = Question((0, 1, 0, 1, 1), (True, False, True, False, False), (0.9, 0.3, 0.8, 0.4, 0.2))
"""Answers 12, 15, 12, 15, 15, of which 12 is right."""


def curve_of(path: Path, **fields: object) -> list[Curve]:
    plan = replace(ReplayPlan(path, plan_methods("sample", catalogue()), curve=True), **fields)  # type: ignore[arg-type]
    return curves_of(plan, asyncio.run(replay(plan)))


def test_one_question_worked_out() -> None:
    curve = question_curve(SEVERAL)
    assert curve["pass"] == pytest.approx([0.4, 0.7, 0.9, 1, 1])
    # Of three, 12 wins with two votes: C(2,2) * C(3,1) of C(5,3) draws; of four, it ties where a 15 is left out.
    assert curve["majority"] == pytest.approx([0.4, 0.4, 0.3, 0.3, 0])
    assert curve["best"] == pytest.approx([0.4, 0.7, 0.9, 1, 1])
    assert curve["weighted"][0] == pytest.approx(0.4, abs=0.05)
    assert curve["weighted"][4] == 1
    assert {name: len(values) for name, values in curve.items()} == dict.fromkeys(curve, 5)
    assert [len(values) for values in question_curve(SEVERAL, 2).values()] == [2] * 4


def test_without_scores_there_is_no_best() -> None:
    assert list(question_curve(replace(SEVERAL, scores=()))) == ["pass", "majority"]


def test_two_spellings_of_the_right_answer_both_count() -> None:
    """A source that compares texts lets them vote apart; whichever wins is right."""
    apart = Question((0, 1, 2, 2), (True, True, False, False))
    assert question_curve(apart)["majority"] == pytest.approx([0.5, 0.5, 1 / 3, 0])
    mixed = Question((0, 0), (True, False))
    assert question_curve(mixed)["majority"] == pytest.approx([0.5, 0.5])


def test_samples_without_an_answer_have_no_vote() -> None:
    assert question_curve(Question((None, 0), (False, True)))["majority"] == pytest.approx([0.5, 1])
    assert question_curve(Question((None, None), (False, False)))["majority"] == [0, 0]


def test_the_mean_is_over_questions_and_ends_where_one_has_no_more_samples() -> None:
    always = Question((0, 0), (True, True), (1.0, 2.0))
    curve = mean_curve([SEVERAL, always], "here", replicates=500)
    assert (curve.label, curve.questions, [point.k for point in curve.points]) == ("here", 2, [1, 2])
    first = curve.points[0]
    assert first.values["pass"] == pytest.approx(0.7)
    assert first.intervals["pass"] == pytest.approx((0.4, 1))
    assert list(first.values) == ["pass", "majority", "best", "weighted"]
    bare = mean_curve([SEVERAL, replace(always, scores=())], replicates=50)
    assert list(bare.points[0].values) == ["pass", "majority"]
    assert mean_curve([]).points == ()


def test_equal_seeds_give_equal_curves() -> None:
    assert mean_curve([SEVERAL], replicates=50) == mean_curve([SEVERAL], replicates=50)


def test_a_curve_as_json() -> None:
    shown = mean_curve([SEVERAL], "all", replicates=50).to_json()
    assert (shown["label"], shown["questions"]) == ("all", 1)
    points = shown["points"]
    assert isinstance(points, list)
    assert points[1]["k"] == 2
    assert points[1]["pass"] == {"value": pytest.approx(0.7), "interval": pytest.approx((0.7, 0.7))}


@pytest.mark.parametrize(("name", "most"), [("qwen2.5_math_x8", 8), ("llama_3b_amc23_x50", 50)])
def test_slices_begin_at_the_mean_and_end_at_any(name: str, most: int) -> None:
    (curve,) = curve_of(SLICES / f"{name}.jsonl.gz")
    assert len(curve.points) == most
    first, last = curve.points[0], curve.points[-1]
    assert first.values["majority"] == pytest.approx(first.values["pass"])
    passed = [point.values["pass"] for point in curve.points]
    assert passed == sorted(passed)
    assert last.values["pass"] * curve.questions == pytest.approx(round(last.values["pass"] * curve.questions))


def test_problems_that_cannot_be_judged_are_left_out_and_subsets_stand_apart() -> None:
    curves = curve_of(SLICES / "r1_distill_1.5b_math.jsonl.gz", by="max_new_tokens")
    assert [curve.label for curve in curves] == [f"max_new_tokens={limit}" for limit in (1500, 1800, 3600)]
    (whole,) = curve_of(SLICES / "r1_distill_1.5b_math.jsonl.gz")
    plan = ReplayPlan(SLICES / "r1_distill_1.5b_math.jsonl.gz", plan_methods("sample", catalogue()))
    assert whole.questions == asyncio.run(replay(plan)).problems - 1


@needs_full
class TestFullSets:
    """The figures that the sources' own data give."""

    def test_qwen(self) -> None:
        (curve,) = curve_of(FULL / "traces" / "qwen2.5_math_x8_reward.jsonl.gz")
        first, last = curve.points[0].values, curve.points[-1].values
        assert [first[name] for name in ("pass", "majority", "best")] == pytest.approx([0.91] * 3)
        assert last["pass"] == pytest.approx(0.96)
        assert last["best"] == pytest.approx(0.94)
        # One problem ends in a tie of four to four, which the first seen wins and the last seen loses: 93 and 92.
        assert last["majority"] == pytest.approx(0.925)
        assert last["weighted"] == pytest.approx(0.94)

    def test_llama(self) -> None:
        (curve,) = curve_of(FULL / "traces" / "llama_3b_rl_amc23_x50.jsonl.gz")
        assert curve.points[0].values["pass"] == pytest.approx(0.1415)
        assert curve.points[-1].values["pass"] == pytest.approx(26 / 40)
        assert curve.points[-1].values["majority"] == pytest.approx(9.5 / 40), "with half of one tie; first seen: 9"


def test_a_weighted_vote_of_equal_weights_is_the_majority() -> None:
    answers, correct = [0, 0, 1, 1, 2, None], [True, True, False, False, False, False]
    found = metrics.weighted_at_k([0.3] * 6, answers, correct, 6, draws=720)
    exact = [metrics.maj_at_k(2, [2, 1], k, silent=1) for k in range(1, 7)]
    assert found == pytest.approx(exact)
