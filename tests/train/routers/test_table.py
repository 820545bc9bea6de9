"""Tables and folds: what is refused, and that no question is in two folds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.arena import arena, outcomes

from ponder.core.errors import DataError
from ponder.train.routers.table import Battles, Table, check_table, folds, same_question


def table(questions: list[str], groups: list[str] | None = None) -> Table:
    success = np.array([[i % 2, 1] for i in range(len(questions))], float)
    return Table(("weak", "strong"), tuple(questions), tuple(groups or ()), success=success)


def test_good_tables_pass() -> None:
    check_table(outcomes(50), "it")
    check_table(arena(50), "it")


def test_too_few_rows_are_told() -> None:
    with pytest.raises(DataError, match=r"log\.csv has 9 rows"):
        check_table(table(list("abcdefghi")), "log.csv")


def test_one_class_is_told() -> None:
    same = Table(("weak", "strong"), tuple("abcdefghijkl"), success=np.ones((12, 2)))
    with pytest.raises(DataError, match=r"log\.csv has one class only"):
        check_table(same, "log.csv")
    wins = Battles(("a", "b"), np.array([0, 1] * 6), np.array([1, 0] * 6), np.array([1.0, 0.0] * 6))
    with pytest.raises(DataError, match="one class only"):
        check_table(Table(("a", "b"), tuple("abcdefghijkl"), battles=wins), "arena.csv")


def test_a_question_asked_twice_is_told_with_both_rows() -> None:
    asked = [*"abcdefghijkl", "  A "]
    with pytest.raises(DataError, match=r"log.csv: rows 1 and 13 ask the same question \('  A '\)"):
        check_table(table(asked), "log.csv")
    check_table(table(asked), "log.csv", together=True)


def test_case_and_blanks_make_no_other_question() -> None:
    assert same_question("What  is\n2?") == same_question("what is 2? ")
    assert same_question("What is 2?") != same_question("What is 3?")


def test_a_part_of_a_table() -> None:
    part = arena(20).rows(np.array([3, 1]))
    assert (len(part), len(part.questions)) == (2, 2)
    assert part.battles is not None
    whole = arena(20).battles
    assert whole is not None
    assert part.battles.won.tolist() == [whole.won[3], whole.won[1]]


@given(st.lists(st.sampled_from("abcdefghij"), min_size=10, max_size=60), st.integers(0, 5))
def test_folds_part_the_rows_and_keep_questions_together(asked: list[str], seed: int) -> None:
    rows = table(asked)
    if len(set(asked)) < 3:
        with pytest.raises(DataError, match="3 folds need at least as many questions"):
            folds(rows, 3, seed)
        return
    parts = folds(rows, 3, seed)
    assert sorted(row for part in parts for row in part) == list(range(len(asked)))
    seen = [{asked[row] for row in part} for part in parts]
    assert seen[0] & seen[1] == seen[0] & seen[2] == seen[1] & seen[2] == set()


def test_folds_are_about_equally_large_and_the_same_each_time() -> None:
    rows = outcomes(103)
    parts = folds(rows, 5, seed=1)
    assert {len(part) for part in parts} == {20, 21}
    assert all((first == second).all() for first, second in zip(parts, folds(rows, 5, seed=1), strict=True))
    assert any((len(a) != len(b)) or (a != b).any() for a, b in zip(parts, folds(rows, 5, seed=2), strict=True))


def test_whole_groups_are_held_out() -> None:
    rows = table([str(i) for i in range(40)], [f"g{i % 8}" for i in range(40)])
    for part in folds(rows, 4, 0, held_out=True):
        inside = {rows.groups[row] for row in part}
        outside = {rows.groups[row] for row in set(range(40)) - set(part.tolist())}
        assert inside & outside == set()


def test_groups_that_are_not_there_are_told() -> None:
    with pytest.raises(DataError, match="names no groups to hold out; name their column with --group"):
        folds(table(list("abcdefghijkl")), 3, 0, held_out=True)
    with pytest.raises(DataError, match="5 folds need at least as many groups, not 2"):
        folds(outcomes(20), 5, 0, held_out=True)


def test_a_table_without_texts_has_folds_of_rows() -> None:
    rows = Table(("a", "b"), (), success=np.ones((12, 2)))
    assert sum(map(len, folds(rows, 3, 0))) == 12
