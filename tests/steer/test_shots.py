from __future__ import annotations

from ponder.core.problem import Message, Problem
from ponder.steer.shots import with_shots
from ponder.text.prompts import Draft

SHOT = Draft("1 + 1?", "1 + 1 = 2", "2")


def test_examples_stand_before_the_last_question_and_all_else_stays() -> None:
    turns = (Message.of("system", "Be kind."), Message.of("user", "Hello"), Message.of("assistant", "Hello!"))
    problem = Problem("q", (*turns, Message.of("user", "2 + 3?")), extra='{"a": 1}')
    shown = with_shots(problem, "Be brief.", [SHOT, SHOT])
    assert shown.messages[:3] == turns
    assert [(message.role, message.text) for message in shown.messages[3:]] == [
        *[("user", "1 + 1?"), ("assistant", "1 + 1 = 2\n\\boxed{2}")] * 2,
        ("user", "2 + 3?\n\nBe brief."),
    ]
    assert (shown.id, shown.extra) == (problem.id, problem.extra)


def test_a_conversation_without_a_question_becomes_the_instruction() -> None:
    shown = with_shots(Problem("q", (Message.of("system", "Be kind."),)), "Be brief.", [])
    assert [message.text for message in shown.messages] == ["Be kind.", "Be brief."]
