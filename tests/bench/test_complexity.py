from __future__ import annotations

import csv
import gzip
import json
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.complexities import Reply, arms, attempt, worked_out

from ponder.bench import metrics
from ponder.bench.arms import Arm
from ponder.bench.complexity import token_complexity
from ponder.bench.report import ReportData, build_report
from ponder.bench.summary import summarize
from ponder.core.errors import DataError

JHU = Path(__file__).parents[1] / "data" / "tables" / "jhu_concise_cot.csv.gz"


def test_the_complexities_and_the_bound_are_those_worked_out_by_hand() -> None:
    found = token_complexity(worked_out())
    assert found.questions == {"a": 9, "b": 50, "c": 80, "d": None}
    assert (found.task, found.solvable, found.agreement) == ("toy", 3, 1)
    assert (found.tokens, found.tokens_solvable) == (34.75, pytest.approx(46.33, abs=0.005))
    short, middle, long = found.rows
    assert [row.label for row in found.rows] == ["short", "middle", "long"]
    assert (short.tokens, short.accuracy, short.bound, short.fewest) == (10, 0.25, 0.25, 2.25)
    assert (middle.tokens, middle.accuracy, middle.bound, middle.fewest) == (50, 0.5, 0.75, 14.75)
    assert (long.tokens, long.accuracy, long.bound, long.fewest) == (100, 0.75, 0.75, 34.75)
    assert [row.below for row in found.rows] == [0, 0.25, 0]
    assert long.excess == pytest.approx(100 / 34.75)
    assert [row.predicted for row in found.rows] == [row.accuracy for row in found.rows]


def test_intervals_hold_the_figure_and_are_the_same_each_time() -> None:
    found = token_complexity(worked_out())
    for row in found.rows:
        assert row.below_interval.low <= row.below <= row.below_interval.high
    assert found == token_complexity(worked_out())
    assert found.rows[0].excess_interval is None, "four questions may be drawn without one that it has right"


def test_only_questions_that_all_answered_and_that_can_be_judged_count() -> None:
    made = arms(
        one={"a": [(5, True)], "b": [(5, None)], "c": [(5, True)], "e": [(3, True)]},
        two={"a": [(9, True)], "b": [(9, True)], "d": [(9, True)], "e": [(4, True)]},
    )
    found = token_complexity(made)
    assert found.questions == {"a": 5, "e": 3}
    assert [row.tokens for row in found.rows] == [4, 6.5]


def test_every_sample_of_a_question_is_a_reply_of_it() -> None:
    made = arms(one={"a": [(10, False), (30, True)]}, two={"a": [(20, True), (40, True), (50, None)]})
    found = token_complexity(made)
    assert found.questions == {"a": 20}
    assert [(row.tokens, row.accuracy, row.predicted) for row in found.rows] == [(20, 0.5, 0.5), (30, 1, 1)]


def test_a_task_that_nothing_solves_has_a_bound_of_zero() -> None:
    found = token_complexity(arms(one={"a": [(5, False)]}, two={"a": [(7, False)]}))
    assert (found.solvable, found.tokens, found.tokens_solvable, found.agreement) == (0, 0, 0, 1)
    assert [(row.bound, row.fewest, row.excess, row.excess_interval) for row in found.rows] == [(0, 0, None, None)] * 2


def test_where_short_replies_are_right_and_long_ones_wrong_no_length_tells() -> None:
    found = token_complexity(arms(one={"a": [(5, True)]}, two={"a": [(7, False)]}, three={"a": [(9, False)]}))
    assert found.questions == {"a": None}
    right = found.rows[0]
    assert (right.accuracy, right.bound, right.below, right.fewest, right.excess) == (1, 0, -1, None, None)


def test_what_cannot_be_told_is_refused() -> None:
    one = {"a": [(5, True)]}
    with pytest.raises(DataError, match=r"toy: token complexity compares .* name two or more"):
        token_complexity(arms(one=one))
    with pytest.raises(DataError, match="toy: no question was answered by every method and can be judged; finish"):
        token_complexity(arms(one=one, two={"b": [(5, True)]}))
    with pytest.raises(DataError, match="no question was answered"):
        token_complexity(arms(one=one, two={"a": [(5, None)]}))


def test_it_is_json_without_infinities() -> None:
    value = json.loads(json.dumps(token_complexity(worked_out()).to_json(), allow_nan=False))
    assert value["questions"] == {"a": 9, "b": 50, "c": 80, "d": None}
    assert value["solvable"] == 3
    assert value["rows"][1]["below_interval"][0] <= 0.25
    assert value["rows"][0]["excess_interval"] is None


table = st.lists(st.tuples(st.integers(1, 300), st.booleans()), min_size=3, max_size=3)


@settings(max_examples=30, deadline=None)
@given(st.lists(table, min_size=1, max_size=12))
def test_it_agrees_with_the_formulas_question_by_question(rows: list[list[Reply]]) -> None:
    made = arms(**{f"m{j}": {str(i): [row[j]] for i, row in enumerate(rows)} for j in range(3)})
    found = token_complexity(made)
    by_hand = [metrics.token_complexity([n for n, _ in row], [bool(right) for _, right in row]) for row in rows]
    assert found.known == [tau for tau, _ in by_hand]
    assert found.agreement == pytest.approx(sum(share for _, share in by_hand) / len(rows))
    for row in found.rows:
        assert row.bound == metrics.accuracy_bound(found.known, row.tokens)
        assert row.fewest is None or row.fewest == metrics.fewest_tokens(found.known, row.accuracy)
    finite = [tau for tau in found.known if tau < math.inf]
    assert found.tokens * len(rows) == pytest.approx(sum(finite))


def test_the_page_shows_it_where_it_is_asked_for(tmp_path: Path) -> None:
    found, rows = token_complexity(worked_out()), summarize(worked_out(), "short")
    evil = replace(found, rows=(replace(found.rows[0], label="<script>alert(1)</script>"), *found.rows[1:]))
    plain, told = (
        build_report(ReportData("tiny", rows, complexities=shown), tmp_path, draw=False).read_text(encoding="utf-8")
        for shown in ({}, {"toy": evil})
    )
    words = " ".join(re.sub(r"<[^>]*>", " ", told).split())
    assert "Some length solves 3 of 4 questions" in words
    assert "are 34.8 a question (46.3 over those alone). 100.0 % of the replies" in words
    assert "middle 50.0 50.0 % 75.0 % 25.0" in words
    assert told.count("<script") == plain.count("<script")
    assert "Some length solves" not in plain


def jhu() -> dict[str, dict[str, Arm]]:
    """Return the published answers of 2401.05618 as arms, by model and prompt."""
    found: dict[str, dict[str, Arm]] = {}
    with gzip.open(JHU, "rt") as file:
        for row in csv.DictReader(file):
            arm = found.setdefault(row["model"], {}).setdefault(
                row["prompt"], Arm(row["prompt"], {}, row["model"], "jhu")
            )
            arm.add(attempt(f"{row['exam']}/{row['problem']}", int(row["output_tokens"]), row["score"] == "1"))
    return found


def test_the_cut_of_concise_prompts_is_the_published_one() -> None:
    rows = [
        next(row for row in summarize(by_prompt, "chain_of_thought", constants=None) if row.label == "concise")
        for by_prompt in jhu().values()
    ]
    savings = {row.model: 100 * (row.saving or 0) for row in rows}
    assert savings == {"gpt-35-turbo": pytest.approx(47.62, abs=0.005), "gpt-4": pytest.approx(49.77, abs=0.005)}
    assert sum(savings.values()) / 2 == pytest.approx(48.70, abs=0.05)
    assert [row.paired for row in rows] == [1000, 1000]


def test_published_prompts_take_several_times_the_fewest_tokens() -> None:
    found = token_complexity(jhu()["gpt-4"])
    long, concise = found.rows[1:]
    assert (long.label, concise.label, len(found.questions)) == ("chain_of_thought", "concise", 1000)
    assert long.excess is not None
    assert concise.excess is not None
    assert long.excess_interval is not None
    assert long.excess_interval.low <= long.excess <= long.excess_interval.high
    assert concise.excess < long.excess
    assert found.agreement > 0.9
