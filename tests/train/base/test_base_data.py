"""What a recipe trains on: the right shares of the right rows, and no question that tests ask."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from ponder.train.base.recipe import Recipe
from ponder.train.lab.generated import kept_for_tests
from ponder.train.lab.rows import held_out
from ponder.train.loops.messages import Stage

pytest.importorskip("torch")
pytestmark = pytest.mark.torch

from ponder.train.base.data import make_exams, make_stages  # noqa: E402

FORMAT = "\n\nPut the final answer in \\boxed{}."
MANY = Recipe(families=("modular", "arithmetic:level=1"), drills=100, echoes=50, chains=2000, thoughts=1500, seed=5)


@pytest.fixture(scope="module")
def many() -> tuple[Stage, ...]:
    return make_stages(MANY)


def only(mini: Recipe, **counts: int) -> tuple[Stage, ...]:
    return make_stages(replace(mini, **{"drills": 0, "echoes": 0, "chains": 0, "thoughts": 0, **counts}))


def test_stages_follow_each_other_with_their_rows(mini: Recipe) -> None:
    found = [(stage.name, len(stage.rows)) for stage in make_stages(mini)]
    again = mini.chains // 4
    assert found == [
        ("basics", mini.drills + mini.echoes),
        ("chains", mini.chains + again),
        ("thoughts", mini.thoughts),
    ]
    assert [stage.name for stage in only(mini, thoughts=4)] == ["thoughts"]
    assert [(stage.name, len(stage.rows)) for stage in only(mini, chains=8)] == [("chains", 8)]


def test_echoes_repeat_pieces_of_the_lab(mini: Recipe) -> None:
    echoes = only(mini, echoes=200, thoughts=1)[0]
    asked = [row.messages[0][1] for row in echoes.rows]
    assert (echoes.name, len(asked)) == ("basics", 200)
    assert [row.messages[1] for row in echoes.rows] == [("assistant", text) for text in asked]
    assert len(set(asked)) > 180
    assert set("0123456❤♪↔+=") <= set("".join(asked))


def test_drills_are_single_results_of_every_family_alike(mini: Recipe) -> None:
    rows = only(mini, drills=900, thoughts=1)[0].rows
    told = Counter(row.messages[0][1] for row in rows)
    # A step of algebra is a whole equation: too long for a drill.
    assert set(told) == {"modular", "directional"}
    assert all(count == pytest.approx(450, abs=60) for count in told.values())
    steps = {(row.messages[0][1], row.given, row.messages[1][1]) for row in rows}
    assert ("modular", "5+4=", "2") in steps
    assert ("directional", "North: Left\n", "West") in steps
    assert all(result == str(eval(given[:-1].replace("×", "*")) % 7) for name, given, result in steps if "=" in given)


def test_a_drill_ends_where_what_is_left_begins(mini: Recipe) -> None:
    turns = Recipe(families=("directional:actions=2-4",), drills=400, echoes=0, chains=0, thoughts=1, seed=5)
    drills = make_stages(turns)[0].rows
    assert {row.messages[1][1] for row in drills} == {"North", "East", "South", "West"}
    # Each stage of a chain is drilled: with the start, in the middle, and at its last action.
    assert {"then" in row.given for row in drills} == {True, False}
    assert {row.given.count(" ") for row in drills} >= {1, 2, 3}


def test_drills_stay_among_the_chains(mini: Recipe) -> None:
    (chains,) = only(mini, chains=40, drills=1)[1:]
    drilled = [row for row in chains.rows if row.given]
    assert (len(chains.rows), len(drilled)) == (50, 10)


def test_both_stages_ask_the_same_questions(mini: Recipe) -> None:
    _, chains, thoughts = make_stages(replace(mini, bare=0.0))
    assert [row.messages[0] for row in thoughts.rows] == [row.messages[0] for row in chains.rows[: mini.thoughts]]


def test_no_question_of_tests_is_trained_on(many: tuple[Stage, ...]) -> None:
    kept = held_out()
    asked = {row.messages[0][1].removesuffix(FORMAT) for stage in many for row in stage.rows}
    examined = {puzzle.item.meta["question"] for exam in make_exams(MANY, 1000) for puzzle in exam.puzzles}
    assert len(asked) > 500
    assert not asked & examined
    assert not any(question + FORMAT in kept for question in asked)
    assert not any(kept_for_tests(question) for question in asked if "modulo" in question)


def test_shares_are_those_of_the_recipe(many: tuple[Stage, ...]) -> None:
    _, chains, thoughts = many
    told = [row for row in chains.rows if not row.given]
    direct = [row for row in thoughts.rows if row.thinking is False]
    assert len(direct) / len(thoughts.rows) == pytest.approx(MANY.direct, abs=0.03)
    assert all(row.messages[1][1].startswith("\\boxed{") for row in direct)
    assert all(row.thinking is None and "</think>" in row.messages[1][1] for row in told)
    for rows in (told, thoughts.rows):
        bare = [row for row in rows if not row.messages[0][1].endswith(FORMAT)]
        assert len(bare) / len(rows) == pytest.approx(MANY.bare, abs=0.03)
    thinking = [row.messages[1][1] for row in thoughts.rows if row.thinking is None]
    long = [reply for reply in thinking if reply.startswith("<think>\nI need ")]
    assert 1 - len(long) / len(thinking) == pytest.approx(MANY.brief, abs=0.03)
    assert all("Wait, let me check." in reply for reply in long)
    twice = [reply for reply in long if "Let me check once more." in reply]
    assert len(twice) / len(long) == pytest.approx(MANY.passes - 1, abs=0.03)
    assert not any("Wait" in row.messages[1][1] for row in chains.rows)


def test_the_same_recipe_makes_the_same_rows_and_another_seed_others(mini: Recipe) -> None:
    assert make_stages(mini) == make_stages(mini)
    assert make_stages(mini) != make_stages(replace(mini, seed=4))


def test_exams_are_the_questions_of_seed_0(mini: Recipe) -> None:
    exams = make_exams(mini, 6)
    assert [exam.family for exam in exams] == [
        "modular:links=1-2",
        "algebra:variables=4,steps=1-2",
        "directional:actions=2-3",
    ]
    assert all(len(exam.puzzles) == 6 for exam in exams)
    assert all("-s0-" in puzzle.item.problem.id for exam in exams for puzzle in exam.puzzles)
    assert {puzzle.difficulty for puzzle in exams[0].puzzles} == {1, 2}
