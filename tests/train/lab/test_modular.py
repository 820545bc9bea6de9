from __future__ import annotations

import random
import re
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import OptionError
from ponder.core.judge import Reference
from ponder.train.lab.generated import Draft
from ponder.train.lab.modular import Modular, chain

_LINE = re.compile(r"(\d+)([+×-])(\d+)=(\d+)")


def worked(text: str, modulus: int = 7) -> Draft:
    """Return the chain of operands and operations written with spaces between them."""
    parts = text.split()
    return chain([int(part) for part in parts[::2]], parts[1::2], modulus, random.Random(0))


def true(line: str, modulus: int) -> bool:
    match = _LINE.fullmatch(line)
    assert match is not None, line
    a, b, result = int(match[1]), int(match[3]), int(match[4])
    value = {"+": a + b, "-": a - b, "×": a * b}[match[2]] % modulus
    return value == result


# Cases by hand


def test_each_line_reckons_with_the_running_value() -> None:
    draft = worked("3 + 5 * 2 - 4")
    assert [step.text for step in draft.steps] == ["3+5=1", "1×2=2", "2-4=5"]
    assert draft.answer == "5"
    assert draft.given == "3+5×2-4 mod 7"
    assert draft.question == "What is 3 + 5 × 2 - 4 modulo 7, strictly from left to right?"


def test_multiplication_does_not_bind_more_tightly() -> None:
    assert worked("1 + 1 * 3").answer == "6"
    assert worked("1 * 3 + 1").answer == "4"


def test_a_difference_below_zero_comes_round() -> None:
    assert [step.text for step in worked("1 - 4", 5).steps] == ["1-4=2"]


# Any chain


@given(
    st.integers(3, 100),
    st.lists(st.tuples(st.sampled_from("+-*"), st.integers(1, 99)), min_size=1, max_size=12),
    st.integers(0, 99),
)
def test_every_line_is_true_and_every_slip_is_not(modulus: int, links: list[tuple[str, int]], seed: int) -> None:
    operands = [1, *(1 + number % (modulus - 1) for _, number in links)]
    draft = chain(operands, [sign for sign, _ in links], modulus, random.Random(seed))
    value = "1"
    for step, operand in zip(draft.steps, operands[1:], strict=True):
        match = _LINE.fullmatch(step.text)
        assert match is not None
        assert (match[1], match[3]) == (value, str(operand))
        assert true(step.text, modulus)
        assert not true(step.slip, modulus)
        value = match[4]
    assert value == draft.answer
    assert 0 <= int(value) < modulus


# The family


def test_the_links_take_turns_and_are_the_difficulty() -> None:
    puzzles = list(Modular("1-6", seed=1).puzzles(12))
    assert [puzzle.difficulty for puzzle in puzzles] == [1, 2, 3, 4, 5, 6] * 2
    assert [len(puzzle.steps) for puzzle in puzzles] == [1, 2, 3, 4, 5, 6] * 2


def test_operands_are_from_one_to_the_modulus_less_one() -> None:
    operands: Counter[str] = Counter()
    for puzzle in Modular("6", modulus=5, seed=1).puzzles(200):
        operands.update(re.findall(r"\d", puzzle.given.removesuffix(" mod 5")))
    assert set(operands) == {"1", "2", "3", "4"}


def test_only_the_operations_asked_for_occur() -> None:
    text = "".join(puzzle.given for puzzle in Modular("6", operations="+-", seed=1).puzzles(50))
    assert "×" not in text
    assert "+" in text
    assert "-" in text


def test_no_chain_derives_its_answer_in_a_line_that_stood_there_before() -> None:
    for puzzle in Modular("10", modulus=3, seed=1).puzzles(200):
        texts = [step.text for step in puzzle.steps]
        assert texts[-1] not in texts[:-1]


def test_no_answer_is_much_more_frequent_than_chance() -> None:
    answers = Counter(puzzle.answer for puzzle in Modular("6", operations="+-", seed=1).puzzles(1400))
    assert set(answers) == set("0123456")
    assert max(answers.values()) < 260


def test_the_verifier_reads_a_number() -> None:
    assert Modular.verifier("<think>\n3+5=1\n</think>\n\n\\boxed{1}", Reference("1")).correct
    assert not Modular.verifier("\\boxed{8}", Reference("1")).correct


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"links": "0"}, "links = '0'"),
        ({"modulus": 2}, "modulus = 2 is out of range; it must be in 3 to 100"),
        ({"modulus": 101}, "modulus = 101"),
        ({"operations": ""}, "operations = ''"),
        ({"operations": "+/"}, r"operations = '\+/' is out of range; it must be some of \+ - \*, each once"),
        ({"operations": "++"}, "operations"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Modular(**options)  # type: ignore[arg-type]
