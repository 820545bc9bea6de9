"""Labels of steps: exact on every chain that the lab makes, and by hand where a model goes astray."""

from __future__ import annotations

import pytest

from ponder.core.engine import Think
from ponder.tasks import load_task
from ponder.train.lab.labels import Chain, Label, label_steps, step_score
from ponder.train.lab.puzzle import Puzzle
from ponder.train.lab.table import FAMILIES, load_family
from ponder.train.lab.thought import WORDS, Overthinking, minimal

EVERY_FAMILY = pytest.mark.parametrize("name", FAMILIES)


def one(spec: str = "modular:links=3", index: int = 0, seed: int = 1) -> tuple[Puzzle, Chain]:
    family = load_family(spec, seed)
    puzzle = list(family.puzzles(index + 1))[index]
    return puzzle, Chain.of(puzzle, family.verifier)


def kinds(labels: list[Label]) -> str:
    """R, U and W, and a star where the ground is not firm."""
    return " ".join(label.kind[0].upper() + "*" * (not label.sound) for label in labels)


def labelled(chain: Chain, *lines: str) -> str:
    return kinds(label_steps(chain, "<think>\n" + "\n".join(lines)))


# Exact by construction


@EVERY_FAMILY
@pytest.mark.parametrize("amount", [Overthinking(0, 0), Overthinking(1, 0.5), Overthinking(2.5, 1)])
def test_an_overthinking_chain_is_labelled_as_it_was_made(name: str, amount: Overthinking) -> None:
    family = load_family(name, 1)
    for puzzle in family.puzzles(60):
        chain, thought = Chain.of(puzzle, family.verifier), amount.think(puzzle, 3)
        labels = label_steps(chain, thought.reply(puzzle.answer))
        assert all(label.sound for label in labels)
        assert "wrong" not in {label.kind for label in labels}
        concluded = thought.text != puzzle.minimal
        assert sum(label.kind == "right" for label in labels) == len(puzzle.steps) + concluded + 1
        # The chain is derived once, and what stands behind the oracle's exit adds nothing but the conclusion.
        by_exit = [label.kind for label in labels if label.end <= thought.exit_in_reply]
        assert by_exit.count("right") == len(puzzle.steps)


@EVERY_FAMILY
def test_a_slip_that_nobody_takes_back_is_wrong(name: str) -> None:
    family = load_family(name, 1)
    for puzzle in family.puzzles(60):
        chain = Chain.of(puzzle, family.verifier)
        for place, step in enumerate(puzzle.steps):
            lines = [*(before.text for before in puzzle.steps[:place]), step.slip]
            found = label_steps(chain, "<think>\n" + "\n".join(lines))
            assert kinds(found) == " ".join(["R"] * place + ["W*"])
            assert step_score(chain, "<think>\n" + "\n".join(lines)).value == 0


@EVERY_FAMILY
def test_a_thought_that_leaves_the_chain_is_sound_up_to_there(name: str) -> None:
    family = load_family(name, 1)
    places = set()
    for number, puzzle in enumerate(family.puzzles(60)):
        text = Overthinking(1, 0.5).derailed(puzzle, number)
        *before, last = label_steps(Chain.of(puzzle, family.verifier), "<think>\n" + text)
        assert [label.sound for label in before] == [True] * len(before)
        assert (last.kind, last.sound) == ("wrong", False)
        assert text.split("\n")[-1] in {step.slip for step in puzzle.steps}
        places.add(len(before))
    assert len(places) > 2


@EVERY_FAMILY
def test_the_task_s_questions_know_as_much(name: str) -> None:
    task = load_task(f"lab:{name}")
    puzzles = {puzzle.item.problem.id: puzzle for puzzle in load_family(name).puzzles(60)}
    for item in task.items(15):
        puzzle = puzzles[item.problem.id]
        text = Overthinking(2, 0.5).think(puzzle, 1).reply(puzzle.answer)
        told = label_steps(Chain.of_item(item, task.verifier), text)
        assert told == label_steps(Chain.of(puzzle, task.verifier), text)


@EVERY_FAMILY
def test_the_shorter_chain_is_right_as_well(name: str) -> None:
    family = load_family(name, 1)
    for puzzle in family.puzzles(30):
        if puzzle.skipped:
            text = "<think>\n" + "\n".join(puzzle.skipped)
            assert set(kinds(label_steps(Chain.of(puzzle, family.verifier), text)).split()) == {"R"}


# By hand


def test_a_step_is_right_once_and_useless_again() -> None:
    puzzle, chain = one()
    a, b, c = (step.text for step in puzzle.steps)
    assert labelled(chain, a, b, c) == "R R R"
    assert labelled(chain, a, a, b, a, c) == "R U R U R"


def test_a_line_that_a_chain_has_twice_is_right_twice() -> None:
    puzzle, chain = one()
    a = puzzle.steps[0].text
    twice = Chain((a, a), chain.given, chain.answer, chain.reference, chain.verifier)
    assert labelled(twice, a, a, a) == "R R U"


def test_talk_leaves_the_ground_as_it_was() -> None:
    puzzle, chain = one()
    words = WORDS["en"]
    a, slip = puzzle.steps[0].text, puzzle.steps[1].slip
    restated = words.restate.format(given=puzzle.given)
    assert labelled(chain, restated, a, words.checks[0]) == "U R U"
    assert labelled(chain, a, slip, words.checks[0], a) == "R W* U* U"
    assert labelled(chain, "I need 1+1 mod 7.") == "W*"


def test_a_wrong_line_that_is_taken_back_does_no_harm_but_a_right_one_does() -> None:
    puzzle, chain = one()
    say = WORDS["en"].slip
    assert labelled(chain, say.format(slip=puzzle.steps[0].slip), puzzle.steps[0].text) == "U R"
    assert labelled(chain, say.format(slip="nonsense")) == "U"
    assert labelled(chain, say.format(slip=puzzle.steps[0].text)) == "W*"


def test_conclusions_are_judged_by_the_answer() -> None:
    puzzle, chain = one()
    say = WORDS["en"].conclude
    assert labelled(chain, say.format(answer=puzzle.answer), say.format(answer=puzzle.answer)) == "R U"
    assert labelled(chain, say.format(answer="12345")) == "W*"


def test_the_boxed_line_and_the_last_one_are_judged_by_the_verifier() -> None:
    puzzle, chain = one()
    thought = minimal(puzzle)
    right = thought.reply(puzzle.answer)
    assert kinds(label_steps(chain, right)) == "R R R R"
    assert kinds(label_steps(chain, thought.reply("12345"))) == "R R R W*"
    assert kinds(label_steps(chain, right + "\nHope that helps.")) == "R R R R R"
    assert kinds(label_steps(chain, thought.reply("12345") + "\nHm.")) == "R R R W* W*"
    assert label_steps(chain, right)[-1].end == len(right)


def test_inside_a_thought_no_line_is_an_answer() -> None:
    puzzle, chain = one()
    boxed = f"\\boxed{{{puzzle.answer}}}"
    assert labelled(chain, boxed) == "W*"
    assert kinds(label_steps(chain, boxed)) == "R"
    assert kinds(label_steps(chain, boxed, Think("<think>", "</think>", opened=True))) == "W*"
    assert kinds(label_steps(chain, boxed, Think())) == "R"


def test_half_a_line_is_wrong_and_an_empty_reply_has_no_steps() -> None:
    puzzle, chain = one()
    assert labelled(chain, puzzle.steps[0].text[:-1]) == "W*"
    assert label_steps(chain, "") == label_steps(chain, "<think>\n\n") == []


def test_chinese_talk_is_known() -> None:
    puzzle, chain = one("arithmetic:language=zh")
    thought = Overthinking(2, 1).think(puzzle, 1)
    labels = label_steps(chain, thought.reply(puzzle.answer))
    assert chain.language == "zh"
    assert {label.kind for label in labels} == {"right", "useless"}


# An oracle


def test_an_oracle_scores_the_ground_behind_the_last_line() -> None:
    puzzle, chain = one()
    a, slip = puzzle.steps[0].text, puzzle.steps[1].slip
    found = step_score(chain, f"<think>\n{a}\n{slip}\n{a}")
    assert (found.value, found.steps) == (1.0, (1.0, 0.0, 1.0))
    assert step_score(chain, f"<think>\n{a}\n{slip}").value == 0.0


def test_of_nothing_it_thinks_no_ill() -> None:
    _, chain = one()
    assert step_score(chain, "").value == 1.0
    assert step_score(chain, "").steps == ()
