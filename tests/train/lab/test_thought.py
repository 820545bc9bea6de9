from __future__ import annotations

import re
from collections.abc import Sequence

import pytest

from ponder.core.errors import OptionError
from ponder.train.lab.puzzle import Family, Puzzle
from ponder.train.lab.table import FAMILIES, load_family
from ponder.train.lab.thought import Overthinking, Thought, minimal

LAB: Sequence[Family] = [load_family(name, 1) for name in FAMILIES]
EVERY_FAMILY = pytest.mark.parametrize("family", LAB, ids=lambda family: family.name)
_SLIP = re.compile(r"Maybe (.+)\? Wait, no\.|可能是 (.+)？不对。")


def by_difficulty(puzzles: Sequence[Puzzle], values: Sequence[float]) -> list[float]:
    """Return the mean of the values at each difficulty, the easiest first."""
    groups: dict[int, list[float]] = {}
    for puzzle, value in zip(puzzles, values, strict=True):
        groups.setdefault(puzzle.difficulty, []).append(value)
    return [sum(groups[level]) / len(groups[level]) for level in sorted(groups)]


def work(puzzle: Puzzle, thought: Thought) -> list[str]:
    """Return the lines of a thought that reckon, slips among them, without the phrases around them."""
    steps = {step.text for step in puzzle.steps}
    lines = [match[1] or match[2] if (match := _SLIP.fullmatch(line)) else line for line in thought.text.split("\n")]
    return [line for line in lines if line in steps or line in {step.slip for step in puzzle.steps}]


def slips(thought: Thought) -> int:
    return sum(_SLIP.fullmatch(line) is not None for line in thought.text.split("\n"))


# Cases by hand


def puzzle(name: str, index: int) -> Puzzle:
    return list(load_family(name, 2).puzzles(index + 1))[index]


def test_a_thought_restates_works_out_checks_and_concludes() -> None:
    one = puzzle("arithmetic:level=3", 0)
    thought = Overthinking(2, 0).think(one)
    assert thought.text.split("\n") == [
        f"I need {one.given}.",
        *one.minimal.split("\n"),
        "Wait, let me check.",
        *one.minimal.split("\n"),
        "Let me check once more.",
        *one.minimal.split("\n"),
        f"So the answer is {one.answer}.",
    ]
    assert thought.text[: thought.exit] == f"I need {one.given}.\n{one.minimal}"


def test_a_slip_is_taken_back_before_the_right_line() -> None:
    one = puzzle("directional:actions=1", 0)
    (step,) = one.steps
    thought = Overthinking(1, 1).think(one)
    slip = [f"Maybe {step.slip}? Wait, no.", step.text]
    expected = [f"I need {one.given}.", *slip, "Wait, let me check.", *slip, f"So the answer is {step.text}."]
    assert thought.text.split("\n") == expected


def test_chinese_questions_get_chinese_thoughts() -> None:
    one = puzzle("arithmetic:language=zh", 0)
    thought = Overthinking(1, 0).think(one)
    assert thought.text == f"要的是 {one.given}。\n{one.minimal}\n这对不对？\n{one.minimal}\n所以是 {one.answer}。"


def test_the_reply_wraps_the_thought_and_boxes_the_answer() -> None:
    one = puzzle("modular", 1)
    thought = minimal(one)
    reply = thought.reply(one.answer)
    assert reply == f"<think>\n{one.minimal}\n</think>\n\n\\boxed{{{one.answer}}}"
    assert reply[: thought.exit_in_reply] == f"<think>\n{one.minimal}"


# The knob


@EVERY_FAMILY
def test_no_pass_is_the_minimal_thought(family: Family) -> None:
    for one in family.puzzles(20):
        assert Overthinking(0, 1).think(one, 5) == minimal(one) == Thought(one.minimal, len(one.minimal))


@EVERY_FAMILY
@pytest.mark.parametrize("passes", [1, 3])
def test_the_work_is_the_minimal_chain_times_the_passes_at_every_difficulty(family: Family, passes: int) -> None:
    for one in family.puzzles(60):
        lines = work(one, Overthinking(passes, 0).think(one))
        assert lines == one.minimal.split("\n") * (passes + 1)


@EVERY_FAMILY
def test_what_is_said_around_the_work_has_one_length_whatever_the_difficulty(family: Family) -> None:
    around = set()
    for one in family.puzzles(60):
        thought = Overthinking(3, 0).think(one)
        around.add(len(thought.text) - 4 * len(one.minimal) - len(one.given) - len(one.answer))
    assert len(around) == 1


@EVERY_FAMILY
def test_the_ratio_of_work_to_the_minimal_chain_is_flat(family: Family) -> None:
    puzzles = list(family.puzzles(1500))
    thoughts = [Overthinking(2, 0.2).think(one) for one in puzzles]
    sizes = [sum(map(len, work(one, thought))) for one, thought in zip(puzzles, thoughts, strict=True)]
    chains = [sum(len(step.text) for step in one.steps) for one in puzzles]
    ratios = by_difficulty(puzzles, [size / chain for size, chain in zip(sizes, chains, strict=True)])
    # A slip adds its line, a larger share of a short chain: at most a fifth of a pass.
    assert all(3.0 <= ratio <= 3.0 * 1.2 + 0.1 for ratio in ratios)


@EVERY_FAMILY
def test_passes_and_slips_come_as_often_for_easy_as_for_hard_questions(family: Family) -> None:
    puzzles = list(family.puzzles(2400))
    thoughts = [Overthinking(1.5, 0.3).think(one) for one in puzzles]
    passes = [
        (len(work(one, thought)) - slips(thought)) / len(one.steps)
        for one, thought in zip(puzzles, thoughts, strict=True)
    ]
    assert set(passes) == {2.0, 3.0}
    for mean in by_difficulty(puzzles, passes):
        assert mean == pytest.approx(2.5, abs=0.13)
    shares = [slips(thought) / count for thought, count in zip(thoughts, passes, strict=True)]
    for mean in by_difficulty(puzzles, shares):
        assert mean == pytest.approx(0.3, abs=0.09)


@EVERY_FAMILY
def test_three_passes_are_at_least_three_times_the_minimal_chain(family: Family) -> None:
    for one in family.puzzles(120):
        assert len(Overthinking(3, 0.3).think(one).text) >= 3 * len(one.minimal)


# The oracle exit


@EVERY_FAMILY
def test_the_exit_is_where_the_last_step_first_stands(family: Family) -> None:
    for one in family.puzzles(200):
        thought = Overthinking(2, 0.5).think(one, 3)
        before = thought.text[: thought.exit].split("\n")
        right = [line for line in before[1:] if not _SLIP.fullmatch(line)]
        assert right == one.minimal.split("\n")
        assert thought.text[thought.exit] == "\n"
        reply = thought.reply(one.answer)
        assert reply[: thought.exit_in_reply].endswith(f"\n{one.steps[-1].text}")


@pytest.mark.parametrize("name", [name for name in FAMILIES if name != "arithmetic"])
def test_no_line_before_the_exit_derives_the_answer(name: str) -> None:
    """The chains of `arithmetic` may pass through 5-2=3 twice; the exit is then the line at the end."""
    family = load_family(name, 1)
    for one in family.puzzles(200):
        thought = Overthinking(1, 1).think(one, 3)
        *before, last = thought.text[: thought.exit].split("\n")
        assert last == one.steps[-1].text
        assert last not in before
        assert not any(line == f"Maybe {last}? Wait, no." for line in before)


# Seeds and limits


def test_a_thought_depends_on_puzzle_seed_and_amount_alone() -> None:
    puzzles = list(load_family("modular", 1).puzzles(40))
    amount = Overthinking(1.5, 0.5)
    assert [amount.think(one, 4) for one in puzzles] == [amount.think(one, 4) for one in reversed(puzzles)][::-1]
    assert [amount.think(one, 4) for one in puzzles] != [amount.think(one, 5) for one in puzzles]


def test_phrases_of_checks_go_on_when_passes_are_many() -> None:
    thought = Overthinking(20, 0).think(puzzle("modular", 0))
    assert thought.text.count("And again.") == 17


@pytest.mark.parametrize(
    ("passes", "share", "message"),
    [(-0.1, 0, "passes = -0.1"), (20.5, 0, "in 0 to 20"), (1, 1.1, "slips = 1.1"), (float("nan"), 0, "passes = nan")],
)
def test_what_is_no_amount_is_refused(passes: float, share: float, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Overthinking(passes, share)
