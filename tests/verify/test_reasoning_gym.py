from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.errors import OptionError
from ponder.core.judge import Reference, Verdict
from ponder.verify.reasoning_gym import ReasoningGym, decode, encode, known_datasets

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(
            st.text(max_size=3) | st.integers() | st.tuples(st.integers(), st.integers()), inner, max_size=3
        )
    ),
    max_leaves=10,
)


@given(JSON)
def test_puzzles_come_back_whole(value: object) -> None:
    assert decode(encode(value)) == value


@pytest.mark.parametrize(
    ("answer", "extracted"),
    [
        ("<answer>14</answer>", "14"),
        ("<answer>\n1 2\n3 4\n</answer>", "1 2\n3 4"),
        ("<answer>1</answer> no: <answer>2</answer>", "2"),
        ("<answer>14", "14"),
        ("\\boxed{14}", "14"),
        ("Answer: 14", "14"),
        ("a\n14", "14"),
        ("<think><answer>14</answer>", None),
        ("", None),
    ],
)
def test_extract(answer: str, extracted: str | None) -> None:
    assert ReasoningGym("leg_counting").extract(answer) == extracted


def test_same() -> None:
    verifier = ReasoningGym("leg_counting")
    assert verifier.same("1  2\n3", "1 2 3")
    assert verifier.same("14.0", "14")
    assert not verifier.same("14", "15")
    assert not verifier.same("a", "b")


def test_references_hold_a_puzzle() -> None:
    verifier = ReasoningGym("leg_counting")
    assert verifier.check(Reference("14", encode({"answer": "14"}))) is None
    assert verifier.check(Reference("", encode({"answer": None}))) is None
    for data in ("", "{", "[]", "{}"):
        assert "no puzzle" in (verifier.check(Reference("14", data)) or "")


def test_full_credit_is_correct_and_partial_credit_is_a_score() -> None:
    from reasoning_gym import create_dataset

    dataset = create_dataset("countdown", seed=3, size=1)
    entry = dataset[0]
    verifier = ReasoningGym("countdown")
    reference = Reference(str(entry["answer"]), encode(entry))
    assert verifier(f"<answer>{entry['answer']}</answer>", reference) == Verdict(True, str(entry["answer"]), 1.0)
    wrong = verifier("<answer>1</answer>", reference)
    assert wrong.correct is False
    assert wrong.score is not None
    assert wrong.score < 1
    assert verifier("", reference) == Verdict(False, None, 0.0)


def test_scorers_that_need_tuples_get_them() -> None:
    from reasoning_gym import create_dataset

    entry = create_dataset("rearc", seed=1, size=1)[0]
    assert ReasoningGym("rearc")(f"<answer>{entry['answer']}</answer>", Reference("", encode(entry))).correct


def test_an_unknown_set_names_the_nearest() -> None:
    assert "chain_sum" in known_datasets()
    with pytest.raises(OptionError, match=r"did you mean 'chain_sum'"):
        ReasoningGym("chain_sun").prepare()
