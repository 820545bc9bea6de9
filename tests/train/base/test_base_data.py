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

from ponder.train.base.data import make_drills, make_echoes, make_exams, make_stages  # noqa: E402

FORMAT = "\n\nPut the final answer in \\boxed{}."
MANY = Recipe(families=("modular", "arithmetic:level=1"), chains=2000, thoughts=1500, seed=5)


@pytest.fixture(scope="module")
def many() -> tuple[Stage, ...]:
    return make_stages(MANY)


def test_stages_follow_each_other_with_their_rows(mini: Recipe) -> None:
    found = [(stage.name, len(stage.rows)) for stage in make_stages(mini)]
    assert found == [("chains", mini.chains), ("thoughts", mini.thoughts)]
    assert [stage.name for stage in make_stages(replace(mini, chains=0))] == ["thoughts"]
    assert [stage.name for stage in make_stages(replace(mini, thoughts=0))] == ["chains"]


def test_echoes_repeat_pieces_of_the_lab(mini: Recipe) -> None:
    echoes = make_echoes(replace(mini, echoes=200))
    asked = [row.messages[0][1] for row in echoes.rows]
    assert (echoes.name, len(asked)) == ("echoes", 200)
    assert [row.messages[1] for row in echoes.rows] == [("assistant", f"{text}\n{text}") for text in asked]
    assert len(set(asked)) > 190
    assert set("0123456❤♪↔+=") <= set("".join(asked))
    assert make_echoes(replace(mini, echoes=0)).rows == ()


def test_drills_are_single_steps_of_every_family_alike(mini: Recipe) -> None:
    rows = make_drills(replace(mini, drills=900)).rows
    told = Counter(row.messages[0][1].partition(": ")[0] for row in rows)
    assert set(told) == {"modular", "algebra", "directional"}
    assert all(count == pytest.approx(300, abs=60) for count in told.values())
    pairs = {(row.messages[0][1], row.messages[1][1]) for row in rows}
    assert ("modular: 5+4", "5+4=2") in pairs
    assert ("directional: North: Left", "West") in pairs
    assert all(reply.startswith(asked[9:] + "=") for asked, reply in pairs if asked.startswith("modular"))
    assert make_drills(replace(mini, drills=0)).rows == ()


def test_both_stages_ask_the_same_questions(mini: Recipe) -> None:
    chains, thoughts = make_stages(replace(mini, bare=0.0))
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
    chains, thoughts = many
    for stage in (chains, thoughts):
        direct = [row for row in stage.rows if row.thinking is False]
        assert len(direct) / len(stage.rows) == pytest.approx(MANY.direct, abs=0.03)
        assert all(row.messages[1][1].startswith("\\boxed{") for row in direct)
        bare = [row for row in stage.rows if not row.messages[0][1].endswith(FORMAT)]
        assert len(bare) / len(stage.rows) == pytest.approx(MANY.bare, abs=0.03)
    thinking = [row.messages[1][1] for row in thoughts.rows if row.thinking is None]
    long = [reply for reply in thinking if reply.startswith("<think>\nI need ")]
    assert 1 - len(long) / len(thinking) == pytest.approx(MANY.brief, abs=0.03)
    assert all("Wait, let me check." in reply and "Let me check once more." in reply for reply in long)
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
