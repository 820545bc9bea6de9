"""Questions asked in other words keep all that stands around them."""

from __future__ import annotations

import pytest

from ponder.core.engine import Cap, Think
from ponder.core.problem import Image, Message, Problem, Prompt, Text, Thinking, Tool
from ponder.engines.echo import Echo
from ponder.steer.tell import framed, told, unthinking

SYSTEM, HI, HELLO = Message.of("system", "Be kind."), Message.of("user", "Hi"), Message.of("assistant", "Hello")
ASKED = Message("user", (Text("How many?"), Image("data:,x")))
WHOLE = Problem("p", (SYSTEM, HI, HELLO, ASKED), (Tool("t", "{}"),), "{}", extra='{"user": "me"}')


def around(problem: Problem) -> tuple[object, ...]:
    return problem.id, problem.tools, problem.response_format, problem.extra


def test_an_instruction_is_one_more_paragraph_of_the_last_question() -> None:
    asked = told(WHOLE, "Be brief.")
    assert asked.messages[:3] == WHOLE.messages[:3]
    assert asked.messages[3].parts == (*ASKED.parts, Text("Be brief."))
    assert around(asked) == around(WHOLE)


def test_nothing_to_say_changes_nothing() -> None:
    assert told(WHOLE, "") == WHOLE
    empty = Problem("p", (SYSTEM,))
    assert told(empty, "") == empty


def test_examples_are_turns_before_the_question() -> None:
    sent = told(WHOLE, "Be brief.", [("1 + 1?", "2"), ("2 + 2?", "4")]).messages
    assert [m.role for m in sent] == ["system", "user", "assistant", *["user", "assistant"] * 2, "user"]
    assert [m.text for m in sent[3:7]] == ["1 + 1?", "2", "2 + 2?", "4"]
    assert sent[7].text.startswith("How many?")


def test_a_conversation_without_a_question_gets_the_instruction_as_one() -> None:
    sent = told(Problem("p", (SYSTEM,)), "Be brief.", [("1 + 1?", "2")]).messages
    assert [(m.role, m.text) for m in sent[1:]] == [("user", "1 + 1?"), ("assistant", "2"), ("user", "Be brief.")]
    assert [m.role for m in told(Problem("p", ()), "", [("1 + 1?", "2")]).messages] == ["user", "assistant"]


def test_a_frame_takes_the_place_of_the_questions_text_alone() -> None:
    asked = framed(WHOLE, "Question: How many?")
    assert asked.messages[:3] == WHOLE.messages[:3]
    assert asked.messages[3].parts == (Text("Question: How many?"), Image("data:,x"))
    assert around(asked) == around(WHOLE)
    assert framed(Problem("p", (SYSTEM,)), "Question: ").messages == (SYSTEM, Message.of("user", "Question: "))


@pytest.mark.parametrize(
    ("think", "caps", "prefill", "thinking"),
    [
        (Think("<t>", "</t>"), {Cap.PREFILL, Cap.THINKING}, "<t>\n\n</t>\n\n", None),
        (Think("<t>\n", "</t>", opened=True), {Cap.PREFILL}, "\n</t>\n\n", None),
        (Think("<t>", "</t>"), {Cap.THINKING}, "", Thinking.off()),
        (Think("<t>", "</t>"), set(), "", None),
        (Think(), {Cap.PREFILL, Cap.THINKING}, "", None),
    ],
)
def test_a_model_is_kept_from_thinking_as_its_engine_can(
    think: Think, caps: set[Cap], prefill: str, thinking: Thinking | None
) -> None:
    asked = unthinking(Prompt.of(WHOLE), Echo(think=think, caps=frozenset(caps)))
    assert (asked.prefill, asked.thinking, asked.messages) == (prefill, thinking, WHOLE.messages)
