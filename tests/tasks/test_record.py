from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ponder.core.judge import Reference
from ponder.tasks.record import Broken, Row, read_row
from ponder.verify import Choice, Exact, Number, YesNo


def row(**fields: object) -> Row:
    return read_row({"question": "How many?", **fields})


def test_a_question_is_enough() -> None:
    plain = row()
    assert plain.answer is None
    assert plain.id is None
    item = plain.item("q-1", "number", Number(), formatted=True)
    assert item.reference is None
    assert item.problem.question == "How many?\n\nPut the final answer in \\boxed{}."
    assert item.meta == {"question": "How many?"}


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("18", "18"),
        (" 18 ", "18"),
        (18, "18"),
        (1.5, "1.5"),
        (True, "yes"),
        (False, "no"),
        (None, None),
        ("She makes 9 * 2 = 18.\n#### 18", "18"),
    ],
)
def test_answers(answer: object, text: str | None) -> None:
    assert row(answer=answer).answer == text


def test_ids_may_be_numbers() -> None:
    assert row(id=7).id == "7"


def test_choices_become_lines_and_an_answer_by_text_its_letter() -> None:
    choices = row(choices=["red", "blue", 3], answer="blue")
    item = choices.item("q", "choice", Choice(), formatted=True)
    assert item.problem.question == (
        "How many?\nA) red\nB) blue\nC) 3\n\nPut the letter of the right choice in \\boxed{}."
    )
    assert item.reference == Reference("B", json.dumps({"choices": ["red", "blue", "3"]}))
    assert row(choices=["red", "blue"], answer="A").reference().text == "A"


def test_data_reaches_the_reference() -> None:
    assert row(answer=1, data={"a": [1]}).reference() == Reference("1", '{"a": [1]}')
    assert row(answer=1, data="as it is").reference() == Reference("1", "as it is")


def test_a_conversation_keeps_its_turns() -> None:
    turns = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "2+2?"},
        {"role": "assistant", "content": "Let me see"},
    ]
    item = read_row({"messages": turns, "answer": 4}).item("q", "number", Number(), formatted=True)
    assert [message.role for message in item.problem.messages] == ["system", "user", "assistant", "user", "assistant"]
    assert item.problem.question == "2+2?\n\nPut the final answer in \\boxed{}."
    assert item.problem.messages[1].text == "Hello"


def test_a_chinese_question_gets_a_chinese_line() -> None:
    item = read_row({"question": "2加3等于几？"}).item("q", "yes_no", YesNo(), formatted=True)
    assert item.problem.question.endswith("\n\n请把“是”或“否”写在 \\boxed{} 里。")


def test_the_line_can_be_left_out() -> None:
    assert row().item("q", "exact", Exact(), formatted=False).problem.question == "How many?"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ([], "must be a JSON object, not a list"),
        ("text", "must be a JSON object, not a text"),
        (None, "must be a JSON object, not null"),
        ({}, "has no `question` and no `messages`"),
        ({"qestion": "?"}, "has no `question`; is 'qestion' meant to be it?"),
        ({"question": ""}, "`question` is empty"),
        ({"question": " \n"}, "`question` is empty"),
        ({"question": 5}, "`question` must be a text, not a number"),
        ({"question": None}, "`question` must be a text, or `messages` a list"),
        ({"question": "?", "messages": []}, "has both"),
        ({"messages": []}, "`messages` a list of turns"),
        ({"messages": ["hi"]}, "each turn of `messages` needs a `role`"),
        ({"messages": [{"role": "king", "content": "?"}]}, "each turn of `messages` needs a `role`"),
        ({"messages": [{"role": "user", "content": ["?"]}]}, "a text as its `content`"),
        ({"messages": [{"role": "system", "content": "?"}]}, "no turn of the user"),
        ({"question": "?", "answer": ""}, "`answer` is empty; write null"),
        ({"question": "?", "answer": [1]}, "`answer` must be a text or a number, not a list"),
        ({"question": "?", "answer": {"a": 1}}, "`answer` must be a text or a number, not an object"),
        ({"question": "?", "awnser": 1}, "has no `answer`, but 'awnser'"),
        ({"question": "?", "Answer": 1}, "has no `answer`, but 'answer'"),
        ({"question": "?", "id": ""}, "`id` is empty"),
        ({"question": "?", "id": [1]}, "`id` must be a text or a number"),
        ({"question": "?", "verifier": 1}, "`verifier` must be a text"),
        ({"question": "?", "choices": "AB"}, "`choices` must be a list"),
        ({"question": "?", "choices": ["one"]}, "`choices` must be a list of 2 to 10"),
        ({"question": "?", "choices": ["x"] * 11}, "`choices` must be a list of 2 to 10"),
        ({"question": "?", "choices": ["a", None]}, "a choice must be a text or a number, not null"),
        ({"question": "half \ud800"}, "half of a surrogate pair"),
    ],
)
def test_what_is_wrong_is_said(record: object, message: str) -> None:
    with pytest.raises(Broken) as caught:
        read_row(record)
    assert message in str(caught.value)


def test_an_answer_that_its_verifier_cannot_read() -> None:
    with pytest.raises(Broken, match=r"the answer 'east' is not a number; correct it, or name another \"verifier\""):
        row(answer="east").item("q", "number", Number(), formatted=True)
    with pytest.raises(Broken, match=r"needs a list of `choices`"):
        row(answer="red").item("q", "choice", Choice(), formatted=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
KEYS = st.sampled_from(["id", "question", "messages", "answer", "verifier", "choices", "data", "other"])


@given(st.dictionaries(KEYS, JSON, max_size=8) | JSON)
def test_any_json_is_a_row_or_broken(record: object) -> None:
    with suppress(Broken):
        assert read_row(record).messages
