from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pytest

from ponder.core.errors import DataError, OptionError
from ponder.tasks import load_task
from ponder.tasks.arithmetic import Arithmetic
from ponder.train.lab.arithmetic import ArithmeticFamily
from ponder.train.lab.puzzle import Family
from ponder.train.lab.rows import HELD_OUT, conversations, fresh, held_out, questions
from ponder.train.lab.table import FAMILIES, load_family
from ponder.train.lab.thought import Overthinking

Row = dict[str, object]


def lines(rows: Iterable[Row]) -> str:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


def digest(rows: Iterable[Row]) -> str:
    return hashlib.sha256(lines(rows).encode()).hexdigest()


def asked(rows: Iterable[Row]) -> list[str]:
    """Return the questions of conversations as they are asked."""
    return [row["messages"][0]["content"] for row in rows]  # type: ignore[index]


# Golden: models were trained on these rows, and their commands must give them again


@pytest.mark.parametrize(
    ("seed", "thinking", "sha256"),
    [
        (1, Overthinking(0, 0), "c4d3ca70daa39049436abe06648e28fcbfe66c6de313e9176318e7905530bfd7"),
        (2, Overthinking(1.3, 0.3), "92abf9f93e2da41e12251b034d5085bf82756d746707c0aef6adf72112fdf856"),
    ],
)
def test_arithmetic_conversations_stay_byte_for_byte_what_they_were(
    seed: int, thinking: Overthinking, sha256: str
) -> None:
    family = ArithmeticFamily("1-5", "mix", seed)
    assert digest(conversations([family], 300, thinking, seed)) == sha256


@pytest.mark.parametrize(
    ("name", "sha256"),
    [
        ("addition", "8859f61336a09881d0570b26813914510fab3dda0bfa4da490bc74e78849422c"),
        ("algebra", "43f8666c16381af99c8d81002b2220e366b44b2c971477abb1d75ed73fff4050"),
        ("directional", "726b1c2e5546d17000c578cb8e85a54c0c11f046c08328062d2647e356b28116"),
        ("modular", "bf864d93f3640f6ee9291bd2260d2156ae146e5d30a4c8f85cd977b1a46cfb51"),
    ],
)
def test_other_conversations_stay_what_they_were(name: str, sha256: str) -> None:
    assert digest(conversations([load_family(name, 1)], 100, Overthinking(1.5, 0.3), 1)) == sha256


def test_a_row_holds_the_conversation_and_what_the_puzzle_knows() -> None:
    (row,) = islice(conversations([load_family("addition:digits=2", 1)], 1, Overthinking(1, 0), 1), 1)
    chain = "4+9=3 carry 1\n3+5+1=9, 93"
    thought = f"I need 34+59.\n{chain}\nWait, let me check.\n{chain}\nSo the answer is 93."
    reply = f"<think>\n{thought}\n</think>\n\n\\boxed{{93}}"
    assert row == {
        "messages": [
            {"role": "user", "content": "Add 34 and 59.\n\nPut the final answer in \\boxed{}."},
            {"role": "assistant", "content": reply},
        ],
        "id": "addition-digits=2-s1-0",
        "difficulty": 2,
        "language": "en",
        "answer": "93",
        "minimal": chain,
        "exit": len(f"<think>\nI need 34+59.\n{chain}"),
    }


# Conversations


def test_families_take_turns_and_no_question_comes_twice() -> None:
    families = [load_family("directional:actions=1-3", 1), load_family("addition:digits=1-2", 1)]
    rows = list(conversations(families, 120, Overthinking(1, 0.3), 1))
    assert [str(row["id"]).partition("-")[0] for row in rows] == ["directional", "addition"] * 60
    assert len(set(asked(rows))) == 120


def test_fewer_rows_are_a_beginning_of_more_and_the_same_call_gives_the_same_rows() -> None:
    families = [load_family("modular", 5), load_family("algebra", 5)]
    rows = lines(conversations(families, 80, Overthinking(), 5))
    assert rows == lines(conversations(families, 80, Overthinking(), 5))
    assert rows.startswith(lines(conversations(families, 31, Overthinking(), 5)))


def test_questions_that_are_given_to_be_left_out_are() -> None:
    family = load_family("addition:digits=1", 1)
    first = asked(conversations([family], 20, Overthinking(0, 0)))
    rest = asked(conversations([family], 20, Overthinking(0, 0), without=frozenset(first)))
    assert set(first) & set(rest) == set()


@pytest.mark.parametrize("name", FAMILIES)
def test_a_file_holds_every_difficulty_from_its_beginning_on(name: str) -> None:
    family = load_family(name, 1)
    counts = Counter(row["difficulty"] for row in conversations([family], 20, Overthinking(0, 0)))
    assert set(counts) == {puzzle.difficulty for puzzle in family.puzzles(200)}


@pytest.mark.parametrize(
    ("spec", "most"), [("directional:actions=1", 11), ("modular:links=1,modulus=3,operations=+-", 6)]
)
def test_a_family_that_runs_out_of_questions_says_so(spec: str, most: int) -> None:
    family = load_family(spec, 1)
    assert len(list(conversations([family], most, Overthinking()))) == most
    with pytest.raises(DataError) as caught:
        list(conversations([load_family("modular", 1), family], 100, Overthinking()))
    assert str(caught.value) == f"{spec} has no new question after {most}; ask for fewer, or give it wider options"


def test_seed_0_is_no_training_data() -> None:
    with pytest.raises(OptionError, match="modular: seed 0 makes the questions that tests ask; train on another seed"):
        conversations([load_family("addition", 1), load_family("modular", 0)], 1, Overthinking())


# Questions for tests


@pytest.mark.parametrize("name", FAMILIES)
def test_no_question_of_a_test_occurs_in_training_data(name: str) -> None:
    narrow = {
        "addition": ":digits=1-2",
        "directional": ":actions=1-5",
        "modular": ":links=1-2",
        "arithmetic": ":level=1",
    }
    spec = name + narrow.get(name, "")
    tests = {str(row["question"]) for row in questions([load_family(spec)], 100)}
    trained: set[str] = set()
    for seed in (1, 2):
        rows = conversations([load_family(spec, seed)], 80, Overthinking(0, 0), seed)
        trained |= {text.rpartition("\n\n")[0] for text in asked(rows)}
    assert len(tests) == 100
    assert tests & trained == set()


def test_what_benchmarks_of_arithmetic_ask_is_held_out() -> None:
    kept = held_out()
    for level, language in (("1-5", "mix"), ("3", "zh"), ("6-10", "en")):
        texts = [item.problem.messages[0].text for item in Arithmetic(level, language).items(HELD_OUT)]
        assert set(texts) <= kept
    tests = questions([ArithmeticFamily("1-5", "mix")], 500)
    assert {row["question"] for row in tests} <= {text.rpartition("\n\n")[0] for text in kept}


def test_the_questions_of_arithmetic_end_where_nothing_is_held_out_any_more() -> None:
    with pytest.raises(DataError, match="arithmetic:level=9 has no new question after 1,000"):
        list(questions([load_family("arithmetic:level=9")], HELD_OUT + 1))


def test_a_question_is_a_line_that_the_task_jsonl_reads(tmp_path: Path) -> None:
    for name in FAMILIES:
        family: Family = load_family(name)
        file = tmp_path / f"{name}.jsonl"
        file.write_text(lines(questions([family], 25)), encoding="utf-8")
        read = list(load_task(f"jsonl:{file}").items())
        kept = list(islice(fresh(family), 25))
        assert [item.problem for item in read] == [puzzle.item.problem for puzzle in kept]
        assert [item.reference and item.reference.text for item in read] == [puzzle.answer for puzzle in kept]
        task = load_task(f"jsonl:{file}")
        for item, puzzle in zip(read, kept, strict=True):
            assert item.reference is not None
            assert task.verifier(Overthinking().think(puzzle).reply(puzzle.answer), item.reference).correct


def test_a_question_holds_what_the_puzzle_knows() -> None:
    (row,) = questions([load_family("addition:digits=2")], 1)
    (puzzle,) = load_family("addition:digits=2").puzzles(1)
    assert row == {
        "id": "addition-digits=2-s0-0",
        "question": puzzle.item.meta["question"],
        "answer": puzzle.answer,
        "verifier": "number",
        "difficulty": 2,
        "language": "en",
        "minimal": puzzle.minimal,
    }


def test_other_seeds_are_no_test() -> None:
    with pytest.raises(OptionError, match="addition: seed 1 makes questions to train on; tests ask those of seed 0"):
        questions([load_family("addition", 1)], 1)


def test_one_file_has_one_verifier() -> None:
    assert len(list(questions([load_family("addition"), load_family("modular")], 20))) == 20
    with pytest.raises(OptionError, match="addition and algebra are judged by different verifiers; give each a file"):
        questions([load_family("addition"), load_family("algebra")], 20)


def test_a_narrow_family_ends() -> None:
    assert len(list(fresh(load_family("directional:actions=1", 1)))) == 11
    assert len(list(fresh(load_family("directional:actions=1")))) == 1
